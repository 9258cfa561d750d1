"""What the API takes and gives: each type is also its own description in the OpenAPI document."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chalicelib.ids import OPERATION
from chalicelib.models import MAX_ID, Note

Operation = Annotated[str, Meta(pattern=f"^{OPERATION}$", description="such as send.email")]
Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$", description="opaque; every listing gives it")]
Ids = Annotated[list[Id], Meta(min_length=1, max_length=1000)]
Moment = Annotated[str, Meta(description="ISO 8601, UTC, with Z")]
Cursor = Annotated[str, Meta(min_length=1, description="nextCursor of the page before")]
PageSize = Annotated[int, Meta(ge=1, le=200)]
Reason = Annotated[str, Meta(min_length=1, max_length=100)]
Outcome = Literal["accepted", "failed", "rejected", "unknown", "deferred", "skipped", "not_attempted"]


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what is given."""


class Given(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what is taken: an unknown field is a typing error, and refused."""


# -- runs


class RunsQuery(Given, frozen=True):
    """Which page of the runs."""

    limit: PageSize = 50
    cursor: Cursor | None = None


class OutcomesQuery(Given, frozen=True):
    """Which page of a run's communications, and of which outcome."""

    outcome: Outcome | None = None
    limit: PageSize = 100
    cursor: Cursor | None = None


class RunView(View, frozen=True):
    """How a run stands: `counts` by outcome, `done` of `matched`; `skipped` by reason, before any batch."""

    run_id: str
    trigger: Literal["schedule", "request"]
    requested_by: str
    note: str | None
    status: str
    requested_at: Moment
    ended_at: Moment | None
    matched: int
    done: int
    counts: dict[str, int]
    skipped: dict[str, int]
    not_listed: list[str]
    not_listed_count: int
    left_out: bool
    left_out_count: int | None
    decision: str | None
    decided_by: str | None
    decided_at: Moment | None
    error: str | None


class RunsPage(View, frozen=True):
    """Runs, newest first."""

    runs: list[RunView]
    next_cursor: str | None


class Started(View, frozen=True):
    """The run that a request is."""

    run_id: str
    status: str


class OutcomeView(View, frozen=True):
    """How a communication ended a run; `manual`: it went to the worklist."""

    id: Id
    operation: str
    primary_id: str
    outcome: Outcome
    reason: str | None
    relapsed: bool
    manual: bool


class OutcomesPage(View, frozen=True):
    """Communications of a run in the order of its manifest; those left alone before it are counted in the run only."""

    communications: list[OutcomeView]
    next_cursor: str | None


class Cost(View, frozen=True):
    """What AWS charges, about: see chalicelib.cost."""

    currency: Literal["USD"]
    amount: float
    basis: str


class Preview(View, frozen=True, kw_only=True):
    """What a run would do now; `truncated`: there was no time to look at all, so the numbers are lower bounds."""

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
    not_listed: list[str]
    not_listed_count: int
    left_out: bool
    truncated: bool
    error: str | None
    sample: list["Sampled"]


class Sampled(View, frozen=True):
    """One of those that a run would send."""

    id: Id
    operation: str
    primary_id: str


# -- communications


class CommunicationsQuery(Given, frozen=True):
    """Which communications: those of a status, or those of an id of the application's, whatever their status."""

    status: Literal["manual", "dismissed"] = "manual"
    operation: Operation | None = None
    reason: Reason | None = None
    primary_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    limit: PageSize = 50
    cursor: Cursor | None = None


class ExportQuery(Given, frozen=True):
    """Which communications go into the CSV file."""

    status: Literal["manual", "dismissed"] = "manual"
    operation: Operation | None = None
    reason: Reason | None = None
    limit: Annotated[int, Meta(ge=1, le=2_000)] = 2_000
    cursor: Cursor | None = None


class CommunicationView(View, frozen=True):
    """A communication as the ledger knows it. `reason` and `since` say why and since when it needs a person."""

    id: Id
    operation: str
    primary_id: str
    status: Literal["open", "sending", "accepted", "unknown", "manual", "dismissed"]
    attempts: int
    reason: str | None
    since: Moment | None
    cool_down_until: Moment | None


class Tried(View, frozen=True):
    """One run's tries of a communication; `answer` is `accepted`, the name of an error, or `sending` without any."""

    run_id: str
    at: Moment
    answer: str
    reason: str | None


class Ruled(View, frozen=True):
    """What a person decided about a communication."""

    did: Literal["retry", "dismiss", "restore"]
    by: str
    at: Moment
    why: str | None


class CommunicationDetail(CommunicationView, frozen=True):
    """A communication with its history across runs, oldest first."""

    history: list[Tried]
    rulings: list[Ruled]


class CommunicationsPage(View, frozen=True):
    """Communications, those that have been there longest first."""

    communications: list[CommunicationView]
    next_cursor: str | None


class Retry(Given, frozen=True):
    """`atOnce` also starts a run for it; otherwise it is for the next one."""

    at_once: bool = False


class Dismissal(Given, frozen=True):
    """Why it shall never be sent."""

    why: Note


class Many(Given, frozen=True):
    """Either `ids`, or all of a `reason` (of one `operation`), a piece at a time: go on with `nextCursor`."""

    ids: Ids | None = None
    reason: Reason | None = None
    operation: Operation | None = None
    cursor: Cursor | None = None


class RetryMany(Many, frozen=True):
    """Which to retry."""

    at_once: bool = False


class DismissMany(Many, frozen=True, kw_only=True):
    """Which to dismiss, and why."""

    why: Note


class Retried(View, frozen=True):
    """A communication that is back in the pool, and the run that was started for it, if it was to be sent at once."""

    communication: CommunicationDetail
    run_id: str | None


class Changed(View, frozen=True):
    """How many were changed, how many were not and why, and the runs that were started for them."""

    changed: int
    refused: dict[str, int]
    run_ids: list[str]
    next_cursor: str | None


# -- the service


class ScheduleView(View, frozen=True):
    """When the schedule fires, and whether it is paused: then it begins no run."""

    expression: str
    paused: bool
    paused_by: str | None
    paused_at: Moment | None


class Health(View, frozen=True):
    """That the API answers."""

    status: Literal["ok"] = "ok"


class Problem(msgspec.Struct, frozen=True):
    """Our answer to a call that cannot be served. `Message` names the field at fault and its rule."""

    Code: str
    Message: str


Document = dict[str, Any]
