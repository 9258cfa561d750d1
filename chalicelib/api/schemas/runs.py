"""Runs, the outcomes of their communications, and what a run would do."""

from typing import Literal

import msgspec

from chalicelib.api.schemas.base import Cursor, Id, Moment, PageSize, RequestModel, ResponseModel
from chalicelib.api.schemas.communications import SampleItem
from chalicelib.models.base import CauseId
from chalicelib.models.outcomes import Outcome
from chalicelib.models.runs import ApprovalDecision, RunKind, RunStatus, Trigger


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
    `collectedAt` is when it began, the last time, to look for its communications. `haltReason` is why it was stopped,
    or is being stopped: `hand:` and the name of who did it, `misconfigured:` or `unproven:` and the application's code,
    `unproven` (nothing was proved for a minute), `breaker` (the application seems to be down), or `overloaded` (it
    needs a pause). A list of runs does not have it.
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
    collected_at: Moment | None
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
    halt_reason: str | None
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
