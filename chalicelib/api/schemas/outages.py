"""Outages, and those that they have hit."""

from typing import Annotated

from msgspec import Meta

from chalicelib.api.schemas.base import Cursor, Moment, RequestModel, ResponseModel
from chalicelib.models.communications import CauseKind


class OutagesQuery(RequestModel, frozen=True):
    """Which page of the outages."""

    limit: Annotated[int, Meta(ge=1, le=50)] = 20
    cursor: Cursor | None = None


class AffectedQuery(RequestModel, frozen=True):
    """Which part of those that an outage has hit the CSV file contains."""

    limit: Annotated[int, Meta(ge=1, le=2_000)] = 2_000
    cursor: Cursor | None = None


class OutageCauseView(ResponseModel, frozen=True):
    """A cause of an outage: `id` as in `GET /causes`, and how many communications it had at most in one scan."""

    id: str
    operation: str
    kind: CauseKind
    reason: str | None
    most: int


class OutageView(ResponseModel, frozen=True):
    """A time in which clearly more communications failed than usual, or in which scheduled runs met trouble.

    `reason` is `failures_rose`, or the kind of that trouble. Usually `usual` communications were failing (null: nobody
    knows), and at most `most`. It is over since `overAt`, and settled since `settledAt`, when nothing that it hit was
    waiting any more. Of `hit` communications, the scan at `asOf` found `waiting`, `sent` (sent again, and may still
    arrive), `onWorklist` and `dismissed`; the others have `recovered`: the application does not list them any more.
    `overfull`: it hit more than are kept. `causes` are the ten most frequent, `runIds` the last 100 of `runCount`.
    `expectedEnd` is when it may be settled, if the pace stays as it is; null if nothing is being accepted,
    or while people hold the schedule.
    """

    outage_id: str
    reason: str
    began_at: Moment
    over_at: Moment | None
    settled_at: Moment | None
    expected_end: Moment | None
    as_of: Moment
    usual: int | None
    most: int
    hit: int
    by_operation: dict[str, int]
    recovered: int
    sent: int
    waiting: int
    on_worklist: int
    dismissed: int
    overfull: bool
    causes: list[OutageCauseView]
    run_ids: list[str]
    run_count: int


class OutagesPage(ResponseModel, frozen=True):
    """Outages, newest first."""

    outages: list[OutageView]
    next_cursor: str | None
