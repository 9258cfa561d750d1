"""What goes on now, at one look."""

from chalicelib.api.schemas.base import Moment, ResponseModel
from chalicelib.api.schemas.causes import CauseView
from chalicelib.api.schemas.outages import OutageView
from chalicelib.api.schemas.runs import RunView
from chalicelib.api.schemas.service import PaceView, ScheduleView
from chalicelib.ledger.tokens import Role


class CallerView(ResponseModel, frozen=True):
    """Whose token this is, and the role that it has."""

    name: str
    role: Role


class OperationView(ResponseModel, frozen=True):
    """How many communications of an operation the application lists as failed; each counts once.

    Those `failing` wait to be sent again, those `onWorklist` need a person, and those `sent` may still arrive.
    """

    failing: int
    on_worklist: int
    sent: int
    dismissed: int


class ScanView(ResponseModel, frozen=True):
    """What a scan of the schedule saw, and how many its run got `accepted` and sent in vain (`failed`).

    Both are null if nobody knows them any more. `complete`: it has read all lists.
    """

    at: Moment
    run_id: str
    complete: bool
    failing: int
    on_worklist: int
    sent: int
    accepted: int | None
    failed: int | None


class IncidentView(ResponseModel, frozen=True):
    """What keeps scheduled runs from succeeding: its kind, and since when."""

    kind: str
    since: Moment


class SummaryView(ResponseModel, frozen=True):
    """What goes on now.

    The numbers of what fails are those of the last scan of the schedule, which began at `asOf` (null before the first
    one). `complete`: it has read all lists, as the one at `lastComplete` did; otherwise they are lower bounds.
    `operations` are all that is listed, `skipped` why the last run left some alone. The `oldest` failure has been
    waiting since then, leaving out what is for people to decide. `worklist` is how many are on the worklist. `scans` go
    back 24 hours, oldest first. `runs` are the newest of the `runsUnderWay` that have not ended; `awaitingApproval` of
    these wait for an approval. `causes` are the ten most frequent. `outage` is the one that is not settled yet.
    """

    caller: CallerView
    as_of: Moment | None
    complete: bool
    last_complete: Moment | None
    operations: dict[str, OperationView]
    skipped: dict[str, int]
    oldest: Moment | None
    worklist: int
    scans: list[ScanView]
    runs: list[RunView]
    runs_under_way: int
    awaiting_approval: int
    incident: IncidentView | None
    schedule: ScheduleView
    pace: PaceView
    causes: list[CauseView]
    outage: OutageView | None
