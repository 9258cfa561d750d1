"""A run, and the statuses that it goes through."""

from enum import StrEnum

from msgspec import field

from chalicelib.models.base import CauseId, Record
from chalicelib.models.communications import CauseKind
from chalicelib.models.notifications import NotifyReason
from chalicelib.models.outcomes import SENT, Outcome


class Trigger(StrEnum):
    """What started a run."""

    SCHEDULE = "schedule"
    REQUEST = "request"


class RunKind(StrEnum):
    """What a run does: send what failed, or retry or dismiss all that matches on the worklist (a bulk run)."""

    REPROCESS = "reprocess"
    RETRY = "retry"
    DISMISS = "dismiss"


class RunStatus(StrEnum):
    """How far a run is, or how it ended."""

    REQUESTED = "requested"
    COLLECTING = "collecting"
    EMPTY = "empty"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    STOPPED = "stopped"
    DECLINED = "declined"
    FAILED = "failed"


# The statuses of a run that will not change any more.
CLOSED = (
    RunStatus.EMPTY,
    RunStatus.SUCCEEDED,
    RunStatus.PARTIAL,
    RunStatus.STOPPED,
    RunStatus.DECLINED,
    RunStatus.FAILED,
)


class ApprovalDecision(StrEnum):
    """How the wait for approval of a run ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"


# How the reason of a pace begins that somebody has set by hand; the name follows. Its other reasons are `slow_answers`,
# `no_answer_in_time`, and the application's codes.
SET_BY = "set_by:"


class WorseRun(Record, frozen=True):
    """An earlier run that turned out worse than its mail said: of what was accepted, so many have relapsed."""

    run_id: str
    accepted: int
    relapsed: int


class Proof(Record, frozen=True):
    """What a run proves: that a cause is fixed. `sizes` are those of its first batches, one after the other."""

    cause: CauseId
    kind: CauseKind
    reason: str | None = None
    sizes: list[int] = []


class Run(Record, frozen=True):
    """One pass: collect, reprocess, report; or a bulk run on the worklist. Times in milliseconds since 1970.

    `matched` counts everything that fits the selection; what is in `skipped` (by reason) never entered the manifest.
    `counts` are outcomes: progress while the run is under way, the truth once it is closed.
    `truncated` says that a limit cut the selection short, so there may be more; `truncated_count` is how many more at
    least, if the lists say so. `list_errors` say which lists could not be read to their end, and why: what was read of
    them before is in the run, the rest is not. `not_found` holds the first of the requested ids that no list contains.
    `selection` and `manifest` are keys in the bucket. `collections` counts the collectors that have started for this
    run, the last one at `collected_at`. `notify_reason` is why people were notified, `incident` the kind of incident
    that the run met (see chalicelib.notifications.policy). `oldest` is since when the oldest failure has been waiting,
    leaving out what is for people to decide. `post_ms` and `posts` are the sum and the number of the measured POSTs.
    `recoveries` counts how often recovery has tried to help this run, the last time at `recovered_at`. `untold` is how
    many communications had gone to the worklist without a mail about them when the run ended. `pace` is that of a run
    that was slowed down when it ended, in communications in 1,000 seconds, and `pace_reason` why; `pace_until` is how
    long that holds if somebody has set it, or if the application needs a pause. `next_run_at` is when the next run
    begins, if it does not wait for the schedule. `relapsed` counts what this run got accepted and the application
    listed as failed again. `settled_at` is when the run was settled: its cool-downs had passed, and a complete scan had
    looked since. `worse_runs` are the earlier ones that its mail names. `failed_again` counts what failed for the same
    cause again in a run that is the `proof` of a fix.

    A bulk run is for what has been on the worklist since `requested_at` or longer. `matched` counts what it has pinned
    so far, in so many `pages`; the last of them is in hand. `counts` are how many of the pages before it were changed
    and refused, and `refused` counts those by reason. Its `collections` are those since its last page.
    """

    run_id: str
    trigger: Trigger
    requested_by: str
    status: RunStatus
    requested_at: int
    selection: str | None = None
    manifest: str | None = None
    batches: int = 0
    matched: int = 0
    skipped: dict[str, int] = {}
    not_found: list[str] = field(default_factory=list, name="notListed")
    not_found_count: int = field(default=0, name="notListedCount")
    truncated: bool = field(default=False, name="leftOut")
    truncated_count: int | None = field(default=None, name="leftOutCount")
    list_errors: list[str] = []
    collections: int = 0
    collected_at: int | None = None
    note: str | None = None
    decision: ApprovalDecision | None = None
    decided_by: str | None = None
    decided_at: int | None = None
    notify_reason: NotifyReason | None = field(default=None, name="told")
    incident: str | None = field(default=None, name="trouble")
    oldest: int | None = None
    ended_at: int | None = None
    error: str | None = None
    counts: dict[str, int] = {}
    post_ms: int = 0
    posts: int = 0
    recoveries: int = 0
    recovered_at: int = 0
    untold: int = 0
    pace: int | None = None
    pace_reason: str | None = None
    pace_until: int | None = None
    next_run_at: int | None = None
    relapsed: int = 0
    settled_at: int | None = None
    worse_runs: list[WorseRun] = []
    proof: Proof | None = None
    failed_again: int = 0
    kind: RunKind = RunKind.REPROCESS
    pages: int = 0
    refused: dict[str, int] = {}

    @property
    def recovery(self) -> float | None:
        """Which share (0 to 1) of what was accepted has not relapsed; None until the run is settled, or without any."""
        accepted = self.counts.get(Outcome.ACCEPTED, 0)
        if self.settled_at is None or not accepted:
            return None
        # What was accepted after the report had counted it as unknown may relapse too.
        return max(0, accepted - self.relapsed) / accepted

    @property
    def eligible(self) -> int:
        """How many communications the manifest holds: those that matched and were not skipped."""
        return self.matched - sum(self.skipped.values())

    @property
    def sent(self) -> int:
        """How many communications the application got, as far as anybody knows."""
        return sum(self.counts.get(outcome, 0) for outcome in SENT)

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self.status in CLOSED
