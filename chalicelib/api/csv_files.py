"""The CSV files that the API returns."""

import csv
import io
import re
from collections.abc import Iterable

from chalice.app import Response

from chalicelib.api import ids
from chalicelib.api.schemas.communications import CommunicationView
from chalicelib.api.serializers.moments import moment
from chalicelib.runs.outage_queries import AffectedRow

# Where a cell begins that a spreadsheet might take for a formula: with a tab or a line break; or before a sign, also a
# full-width one, at the beginning or after what divides cells in some country or in a program that ignores quotes.
_CELL_START = re.compile(r"""^(?=[\t\r\n])|(?:^|(?<=[\t\r\n,;"']))(?=\s*[=+\-@\uff0b\uff0d\uff1d\uff20])""")

_COLUMNS = ("id", "operation", "primaryId", "status", "attempts", "reason", "since")
_AFFECTED_COLUMNS = ("id", "operation", "primaryId", "failedAt", "lastTriedAt", "state")


def worklist_csv(views: Iterable[CommunicationView]) -> str:
    """Return communications of the worklist as a CSV file."""
    return _csv(
        _COLUMNS,
        (
            (view.id, view.operation, view.primary_id, view.status.value, view.attempts, view.reason, view.since)
            for view in views
        ),
    )


def affected_csv(rows: Iterable[AffectedRow]) -> str:
    """Return those that an outage has hit as a CSV file."""
    return _csv(
        _AFFECTED_COLUMNS,
        (
            (
                ids.encode_id(row.operation, row.primary_id),
                row.operation,
                row.primary_id,
                moment(row.since),
                moment(row.sent_at),
                row.state,
            )
            for row in rows
        ),
    )


def _csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a CSV file (RFC 4180) with a header line."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_escape_formula(cell) for cell in row])
    return file.getvalue()


def csv_response(content: str, name: str, next_cursor: str | None) -> Response:
    """Return the answer with a CSV file, and the cursor of its next rows, if there are more."""
    headers: dict[str, str | list[str]] = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if next_cursor:
        headers["X-Next-Cursor"] = next_cursor
    return Response(content, headers=headers)


def _escape_formula(cell: object) -> object:
    """Keep spreadsheets from treating a part of one of the application's ids as a formula (OWASP, "CSV Injection")."""
    return _CELL_START.sub("'", cell) if isinstance(cell, str) else cell
