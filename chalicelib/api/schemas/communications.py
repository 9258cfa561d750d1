"""Communications: the worklist, and what people do with one of them."""

from typing import Annotated, Literal

from msgspec import Meta

from chalicelib.api.schemas.base import Cursor, Id, Moment, Operation, PageSize, Reason, RequestModel, ResponseModel
from chalicelib.ledger.worklist import Action
from chalicelib.models.base import CauseId, Note, PrimaryId
from chalicelib.models.communications import CommunicationStatus


class CommunicationsQuery(RequestModel, frozen=True):
    """Which communications: those with a status, or those with an id of the application's, whatever their status.

    `cause` is for those on the worklist only.
    """

    status: Literal["manual", "dismissed"] = "manual"
    operation: Operation | None = None
    reason: Reason | None = None
    cause: CauseId | None = None
    primary_id: PrimaryId | None = None
    limit: PageSize = 50
    cursor: Cursor | None = None


class ExportQuery(RequestModel, frozen=True):
    """Which communications the CSV file contains. `cause` is for those on the worklist only."""

    status: Literal["manual", "dismissed"] = "manual"
    operation: Operation | None = None
    reason: Reason | None = None
    cause: CauseId | None = None
    limit: Annotated[int, Meta(ge=1, le=2_000)] = 2_000
    cursor: Cursor | None = None


class SampleItem(ResponseModel, frozen=True):
    """A communication: one that a run would send, or one that has a cause."""

    id: Id
    operation: str
    primary_id: str


class CommunicationView(ResponseModel, frozen=True):
    """A communication as the ledger knows it. `reason` and `since`: why, and since when, it needs a person."""

    id: Id
    operation: str
    primary_id: str
    status: CommunicationStatus
    attempts: int
    reason: str | None
    since: Moment | None
    cool_down_until: Moment | None


class AttemptView(ResponseModel, frozen=True):
    """A run's attempt; `answer` is `accepted`, the name of an error, or `sending` if no answer came."""

    run_id: str
    at: Moment
    answer: str
    reason: str | None


class DecisionView(ResponseModel, frozen=True):
    """What a person decided about a communication. `runId` is the bulk run that carried it out, if one did."""

    action: Action
    by: str
    at: Moment
    note: str | None
    run_id: str | None


class CommunicationDetail(CommunicationView, frozen=True):
    """A communication with its history across runs, oldest first.

    It has the last 20 decisions; `decisionsForgotten` is how many earlier ones there were.
    """

    history: list[AttemptView]
    decisions: list[DecisionView]
    decisions_forgotten: int


class CommunicationsPage(ResponseModel, frozen=True):
    """Communications, those that have been there longest first."""

    communications: list[CommunicationView]
    next_cursor: str | None


class Retry(RequestModel, frozen=True):
    """`startRun` also starts a run for it; otherwise the next run takes it."""

    start_run: bool = False


class Dismissal(RequestModel, frozen=True):
    """Why it must never be sent, in the caller's own words."""

    note: Note


class RetryResult(ResponseModel, frozen=True):
    """A retried communication, and the run that was started for it; null if none was asked for or could be started."""

    communication: CommunicationDetail
    run_id: str | None
