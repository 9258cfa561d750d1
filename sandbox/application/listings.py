"""The lists of failed communications: emails are paged with a cursor, SMS with page numbers."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec

from sandbox.application.database import Database, timestamp

_PageSize = Annotated[int, msgspec.Meta(ge=1, le=500)]
_Row = dict[str, Any]
# id, created, created_by, failed_at, error_code
_Listed = tuple[str, str, str, str, str | None]

_WHERE = """
    operation = :operation AND state = 'failed'
    AND (:after IS NULL OR created >= :after) AND (:before IS NULL OR created < :before)
    AND (:author IS NULL OR created_by = :author)
"""
_COUNT = f"SELECT count(*) FROM communications WHERE {_WHERE}"  # noqa: S608 (constants only)
_PAGE = f"""
    SELECT id, created, created_by, failed_at, error_code FROM communications
    WHERE {_WHERE} AND (failed_at, id) > (:last_failed_at, :last_id) ORDER BY failed_at, id LIMIT :limit OFFSET :offset
"""  # noqa: S608 (constants only)


class EmailQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `GET /emails/failed`. A misspelt filter is refused: ignoring it would list everything."""

    created_after: datetime | None = None
    created_before: datetime | None = None
    author: str | None = None
    page_size: _PageSize = 50
    cursor: str | None = None


class SmsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `GET /sms/failed`."""

    since: datetime | None = msgspec.field(default=None, name="from")
    until: datetime | None = msgspec.field(default=None, name="to")
    created_by: str | None = None
    page: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    per_page: _PageSize = 50


@dataclass(frozen=True)
class Filters:
    """Created at or after `after`, before `before`, and by `author`; None for any."""

    operation: str
    after: datetime | None
    before: datetime | None
    author: str | None

    def values(self) -> _Row:
        """Return the parameters of the SQL queries."""
        return {
            "operation": self.operation,
            "after": self.after and timestamp(self.after),
            "before": self.before and timestamp(self.before),
            "author": self.author,
        }


class Listings:
    """Reads the failed communications, oldest failure first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def emails(self, query: EmailQuery) -> tuple[_Row, str | None]:
        """Return a page, and the cursor of the next page if there is one."""
        filters = Filters("send.email", query.created_after, query.created_before, query.author)
        last = _decode(query.cursor) if query.cursor else ("", "")
        count, rows = self._read(filters, query.page_size + 1, last=last)
        results = [
            {"id": id_, "created_at": created, "author": author, "failed_at": failed_at, "reason": code}
            for id_, created, author, failed_at, code in rows[: query.page_size]
        ]
        more = len(rows) > query.page_size
        cursor = _encode(rows[query.page_size - 1]) if more else None
        return {"count": count, "results": results}, cursor

    def sms(self, query: SmsQuery) -> _Row:
        """Return a page. A page beyond the last one is empty."""
        filters = Filters("send.sms", query.since, query.until, query.created_by)
        total, rows = self._read(filters, query.per_page, offset=(query.page - 1) * query.per_page)
        data = [
            {"smsId": id_, "createdAt": created, "createdBy": author, "failedAt": failed_at, "error": {"code": code}}
            for id_, created, author, failed_at, code in rows
        ]
        return {"data": data, "page": query.page, "pages": -(-total // query.per_page), "total": total}

    def _read(
        self, filters: Filters, limit: int, offset: int = 0, last: tuple[str, str] = ("", "")
    ) -> tuple[int, list[_Listed]]:
        page = {"limit": limit, "offset": offset, "last_failed_at": last[0], "last_id": last[1]}
        with self._database.transaction() as connection:
            (count,) = connection.execute(_COUNT, filters.values()).fetchone()
            rows = connection.execute(_PAGE, filters.values() | page).fetchall()
        return count, [tuple(row) for row in rows]


def _encode(last: _Listed) -> str:
    id_, _, _, failed_at, _ = last
    return base64.urlsafe_b64encode(msgspec.json.encode([failed_at, id_])).decode()


def _decode(cursor: str) -> tuple[str, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[str, str])
    except ValueError as error:  # base64, UTF-8 and msgspec all raise it
        raise msgspec.ValidationError("Not a cursor of this list - at `$.cursor`") from error
