"""What the API accepts and returns. Each type is also its own description in the OpenAPI document."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chalicelib import __version__
from chalicelib.api.ids import OPERATION
from chalicelib.ledger.worklist import Action
from chalicelib.models.base import CauseId, Note, PrimaryId
from chalicelib.models.communications import CauseKind, CommunicationStatus
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import ApprovalDecision, RunKind, RunStatus, Trigger

Operation = Annotated[str, Meta(pattern=f"^{OPERATION}$", description="such as send.email")]
Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", description="opaque; every listing contains it")]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=1000)]
Moment = Annotated[str, Meta(description="ISO 8601, UTC, with Z")]
Cursor = Annotated[str, Meta(min_length=1, description="nextCursor of the previous page")]
PageSize = Annotated[int, Meta(ge=1, le=200)]
Reason = Annotated[str, Meta(min_length=1, max_length=100)]


class ResponseModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what the API returns."""


class RequestModel(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what the API accepts: an unknown field is most likely a typing error, so it is refused."""


# -- runs


class RunsQuery(RequestModel, frozen=True):
    """Which page of the runs."""

    limit: PageSize = 50
    cursor: Cursor | None = None


class OutcomesQuery(RequestModel, frozen=True):
    """Which page of a run's communications, and with which outcome."""

    # Not None: with it, msgspec would take `null` in a URL for no filter.
    outcome: Outcome | msgspec.UnsetType = msgspec.UNSET
    limit: PageSize = 100
    cursor: Cursor | None = None


class RunPace(ResponseModel, frozen=True):
    """How many communications a second a run may send, and the code of what holds it down (see `PaceView`)."""

    per_second: float
    reason: str | None


class ProofView(ResponseModel, frozen=True):
    """How far a run has come that proves a fix.

    `sent` counts what the application got so far, `failedAgain` what failed for the same `cause` again. `stage` is the
    size of the batch that the last one was in: 1, 5 or 20 (at most `BATCH_SIZE`), or `all` for everything else.
    `stopped`: no further batch begins.
    """

    cause: CauseId
    stage: int | Literal["all"]
    sent: int
    failed_again: int
    stopped: bool


class RunView(ResponseModel, frozen=True):
    """A run.

    `counts` holds the number of each outcome so far, `done` their sum. `skipped` says why some never entered a batch.
    `truncated`: a limit cut the run short, and at least `truncatedCount` more are left for later runs (null: the lists
    give no total). `listErrors` say which lists could not be read to their end, so that the run lacks what they hold.
    `notFound` holds the first of the requested ids that no list contains. `pace` is how fast a run under way may be,
    and how fast one was that was slowed down, when it ended. `expectedEnd` is when a run under way ends if the pace
    stays as it is and no other run shares it; null while it is being stopped. A list of runs (`GET /runs`) has
    neither for those under way. `nextRunAt` is when the next run begins, if it does not wait for the schedule.
    `relapsed` counts what was accepted and is listed as failed again after its cool-down. At `settledAt` the cool-down
    of everything had passed, and a scheduled run had read all lists since. `recovery` is the share (0 to 1) of what was
    accepted that has not relapsed; null until then, and if nothing was accepted. `proof` is null unless the run proves
    a fix (`prove`), and until it has found what to send.

    A bulk run (`kind` retry or dismiss) counts in `matched` what it has found so far, and in `counts` how many of these
    were `changed` and `refused`; `refused` says why. `unknown` are those of which nobody knows, because it failed.
    """

    run_id: str
    kind: RunKind
    trigger: Trigger
    requested_by: str
    note: str | None
    status: RunStatus
    requested_at: Moment
    ended_at: Moment | None
    matched: int
    done: int
    counts: dict[str, int]
    skipped: dict[str, int]
    refused: dict[str, int]
    not_found: list[str]
    not_found_count: int
    truncated: bool
    truncated_count: int | None
    list_errors: list[str]
    decision: ApprovalDecision | None
    decided_by: str | None
    decided_at: Moment | None
    error: str | None
    pace: RunPace | None
    expected_end: Moment | None
    next_run_at: Moment | None
    relapsed: int
    settled_at: Moment | None
    recovery: float | None
    proof: ProofView | None


class RunsPage(ResponseModel, frozen=True):
    """Runs, newest first."""

    runs: list[RunView]
    next_cursor: str | None


class StartedRun(ResponseModel, frozen=True):
    """The run that this request started, or that an earlier one with the same key started."""

    run_id: str
    status: RunStatus


class OutcomeView(ResponseModel, frozen=True):
    """How a communication ended a run. `manual`: it went to the worklist."""

    id: Id
    operation: str
    primary_id: str
    outcome: Outcome
    reason: str | None
    relapsed: bool
    manual: bool


class OutcomesPage(ResponseModel, frozen=True):
    """A run's communications in the order of its manifest. What was skipped before is only counted: `skipped`."""

    communications: list[OutcomeView]
    next_cursor: str | None


class Cost(ResponseModel, frozen=True):
    """What AWS will charge, approximately. `basis` names the assumptions."""

    currency: Literal["USD"]
    amount: float
    basis: str


class SampleItem(ResponseModel, frozen=True):
    """A communication: one that a run would send, or one that has a cause."""

    id: Id
    operation: str
    primary_id: str


class PreviewView(ResponseModel, frozen=True, kw_only=True):
    """What a run would do now.

    `eligible` of `matched` would be sent; `skipped` counts the others by reason. `truncated`: a limit would cut the run
    short. `incomplete`: there was no time to look at everything, or lists failed with `error`; the numbers are then
    lower bounds.
    """

    dry_run: Literal[True] = True
    matched: int
    eligible: int
    skipped: dict[str, int]
    by_operation: dict[str, int]
    oldest: Moment | None
    newest: Moment | None
    batches: int
    needs_approval: bool
    expected_seconds: int
    expected_cost: Cost
    not_found: list[str]
    not_found_count: int
    truncated: bool
    incomplete: bool
    error: str | None
    sample: list[SampleItem]


# -- communications


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


class BulkSelection(RequestModel, frozen=True):
    """Which communications: `ids`, a part of those with a `reason`, or `all` that match.

    With a `reason` (and `operation`), the answer's `nextCursor` continues. With `all`, a run does the work: everything
    that is on the worklist now and has the `reason`, `operation` and `cause` that are given, at least one of them.
    """

    ids: Ids | None = None
    reason: Reason | None = None
    operation: Operation | None = None
    cursor: Cursor | None = None
    every: bool = msgspec.field(default=False, name="all")
    cause: CauseId | None = None

    def __post_init__(self) -> None:
        if self.every:
            self._check_all()
        elif self.cause is not None:
            raise ValueError("cause needs all")
        elif (self.ids is None) == (self.reason is None):
            raise ValueError("give either ids or a reason, or all")
        elif self.ids is not None and (self.operation or self.cursor):
            raise ValueError("ids cannot be combined with operation or cursor")

    def _check_all(self) -> None:
        if self.ids is not None or self.cursor is not None:
            raise ValueError("all cannot be combined with ids or cursor")
        if self.reason is None and self.operation is None and self.cause is None:
            raise ValueError("all needs a reason, an operation or a cause")


_NULL, _TEXT = {"type": "null"}, {"type": "string"}

_NOT_ALL = {"all": {"const": False}, "cause": _NULL}

# What BulkSelection and BulkRetry check, in JSON Schema.
ONE_SELECTION = {
    "oneOf": [
        {
            "required": ["ids"],
            "properties": {
                "ids": {"type": "array"},
                "reason": _NULL,
                "operation": _NULL,
                "cursor": _NULL,
                **_NOT_ALL,
            },
        },
        {"required": ["reason"], "properties": {"reason": _TEXT, "ids": _NULL, **_NOT_ALL}},
        {
            "required": ["all"],
            "properties": {
                "all": {"const": True},
                "ids": _NULL,
                "cursor": _NULL,
                "startRun": {"const": False},
            },
            "anyOf": [{"required": [name], "properties": {name: _TEXT}} for name in ("reason", "operation", "cause")],
        },
    ]
}


class BulkRetry(BulkSelection, frozen=True):
    """Which communications to retry. `startRun` also starts runs for them; after `all`, the next run takes them."""

    start_run: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every and self.start_run:
            raise ValueError("startRun cannot be combined with all; the next run takes what was retried")


class BulkDismissal(BulkSelection, frozen=True, kw_only=True):
    """Which communications to dismiss, and why, in the caller's own words."""

    note: Note


class RetryResult(ResponseModel, frozen=True):
    """A retried communication, and the run that was started for it; null if none was asked for or could be started."""

    communication: CommunicationDetail
    run_id: str | None


class BulkResult(ResponseModel, frozen=True):
    """How many communications were changed, how many could not be and why, and the runs that were started for them.

    In `refused`, `no_time` counts the last of the `ids`: call again with these. `error`: AWS did not answer, so look at
    the communications before you call again. A run that could not be started is missing in `runIds`; the next run takes
    what was retried.
    """

    changed: int
    refused: dict[str, int]
    run_ids: list[str]
    next_cursor: str | None


# -- outages


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


# -- causes


class CausesQuery(RequestModel, frozen=True):
    """Of which operation."""

    operation: Operation | None = None


class CauseView(ResponseModel, frozen=True):
    """Why communications are failing: all that fail alike have one cause.

    `onWorklist` of `count` need a person. `example` is one of all, null if their ids are very long. `reason` is a code,
    null if neither the application's answer nor its list gave one. `trend` has the counts of the last twelve scans,
    oldest first. `folded`: it adds up causes that are rare, so it cannot be selected.
    """

    id: CauseId
    operation: str
    kind: CauseKind
    reason: str | None
    count: int
    on_worklist: int
    first_seen: Moment
    last_seen: Moment
    trend: list[int]
    example: SampleItem | None
    folded: bool


class CausesView(ResponseModel, frozen=True):
    """The causes as of the last scan of the schedule, which began at `asOf`; null before the first one.

    A cause that is not seen any more stays for 24 hours, with a count of 0. `complete`: the scan has read all lists
    from beginning to end, as the one at `lastComplete` did. Otherwise the counts are lower bounds, for the operations
    whose lists were not. `capped`: there are so many causes that rare ones are folded, as `other`.
    """

    as_of: Moment | None
    complete: bool
    last_complete: Moment | None
    capped: bool
    causes: list[CauseView]


# -- the service


class ScheduleView(ResponseModel, frozen=True):
    """When the schedule fires (an EventBridge expression), and whether it is paused: then it starts no run."""

    expression: str
    paused: bool
    paused_by: str | None
    paused_at: Moment | None


class PaceView(ResponseModel, frozen=True):
    """How fast the application is called, by all runs together: `perSecond` now, `since` then.

    `reason` is a code for what holds it down: one of the application's (such as `http_429`), `slow_answers`,
    `no_answer_in_time`, `max_per_second` (in application.toml), or `set_by:` and a name; null if nothing does.
    `why` says it in words. Nothing is sent before `blockedUntil`, because the application needs a pause.
    `sustainedPerSecond` is the highest rate that went well, `refusedPerSecond` the lowest that did not, and `usualMs`
    how long a POST usually takes; null if nobody knows. `canary`: nobody knows whether the application works now, so a
    run tries a few first. `maxPerSecond` and `maxInFlight` are the ceilings in application.toml. `setBy` has set the
    pace by hand, until `setUntil`.
    """

    per_second: float
    since: Moment | None
    reason: str | None
    why: str
    blocked_until: Moment | None
    sustained_per_second: float | None
    refused_per_second: float | None
    usual_ms: int | None
    canary: bool
    max_per_second: float | None
    max_in_flight: int | None
    set_by: str | None
    set_until: Moment | None


class NewPace(RequestModel, frozen=True):
    """How many communications a second, and for how many minutes. Not more than `maxPerSecond`."""

    per_second: Annotated[float, Meta(ge=0.1, le=10_000)]
    minutes: Annotated[int, Meta(ge=1, le=10_080)] = 60


class Health(ResponseModel, frozen=True):
    """The API's status and version."""

    status: Literal["ok"] = "ok"
    version: str = __version__


class Problem(msgspec.Struct, frozen=True):
    """Why a call was refused. `Message` names the field at fault and its rule."""

    Code: str
    Message: str


Document = dict[str, Any]


# -- everything at one look


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
