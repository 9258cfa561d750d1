"""The immutable records and the enumerations that the packages share. No I/O here.

A field with an explicit `name=` is stored in the table under that older name: renaming the attribute would orphan the
items that earlier versions wrote.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

# The longest id and author of the application's, in bytes of JSON: so a batch of 40 with its results always fits into
# the 262,144 bytes of a state of Step Functions, and an id into the 2,048 bytes of a key of DynamoDB.
MAX_ID, MAX_AUTHOR = 512, 1024

PrimaryId = Annotated[str, Meta(min_length=1, max_length=MAX_ID, description="at most 512 bytes in JSON")]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
# A person's own words: kept in the ledger, never mailed or logged.
Note = Annotated[str, Meta(min_length=1, max_length=300)]

CauseId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="see GET /causes")]

# Where a page of one of the ledger's indexes ends: the key of its last item, and that item's sort key in the index.
PageKey = tuple[str, str, int]


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


class Outcome(StrEnum):
    """How a communication ended a run. Every matched communication ends a run with exactly one outcome."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    DEFERRED = "deferred"
    SKIPPED = "skipped"
    NOT_ATTEMPTED = "not_attempted"


# The outcomes of what the application got, or may have got.
SENT = (Outcome.ACCEPTED, Outcome.FAILED, Outcome.REJECTED, Outcome.UNKNOWN)


class CommunicationStatus(StrEnum):
    """What the ledger knows of a communication. `manual` (on the worklist) and `dismissed` are for people to change."""

    OPEN = "open"
    SENDING = "sending"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    MANUAL = "manual"
    DISMISSED = "dismissed"


class SkipReason(StrEnum):
    """Why a run leaves a listed communication alone."""

    TOO_FRESH = "too_fresh"
    COOL_DOWN = "cool_down"
    IN_FLIGHT = "in_flight"
    MANUAL = "manual"
    DISMISSED = "dismissed"
    RELAPSED = "relapsed"
    ATTEMPTS_USED_UP = "attempts_used_up"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    UNREADABLE = "unreadable"


class CauseKind(StrEnum):
    """What is wrong with a communication that the application lists as failed."""

    UNTRIED = "untried"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    DEFERRED = "deferred"
    EXPIRED = "expired"
    RELAPSED = "relapsed"


class OutcomeReason(StrEnum):
    """Reasons of outcomes that speak of AWS or of the pace, and not of the application, whose codes are any others."""

    LAMBDA_THROTTLED = "lambda_throttled"
    LAMBDA_FAILED = "lambda_failed"
    DIED_WHILE_SENDING = "died_while_sending"
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 (not a secret)
    PACED = "paced"


# How the reason of a pace begins that somebody has set by hand; the name follows. Its other reasons are `slow_answers`,
# `no_answer_in_time`, and the application's codes.
SET_BY = "set_by:"


class NotifyReason(StrEnum):
    """Why people are notified about a run. `NONE`: they are not."""

    RESULT = "result"
    BEGAN = "began"
    RETURNED = "returned"
    CHANGED = "changed"
    NEWS = "news"
    REMINDER = "reminder"
    RECOVERED = "recovered"
    NONE = "nobody"  # as the ledger's items have it


class Topic(StrEnum):
    """The topic of a notification. `NONE`: it is not sent. `statemachine.json` knows the others."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NONE = "none"


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of our records: camelCase in JSON and in the table, as in the application's payload."""


class Communication(Record, frozen=True):
    """A failed communication as its source lists it. Times in milliseconds since 1970.

    `listed_at` is the time just before the request for the page that holds it. `since` is when its age starts:
    `failed_at`, or else `created`. `failure_reason` is the code that the list gives for its failure. `retry` says that
    it was on the worklist, and that its run may retry it there.
    """

    operation: str
    primary_id: str
    listed_at: int
    created_by: str | None = None
    created: int | None = None
    since: int | None = None
    failure_reason: str | None = None
    retry: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes it from all others."""
        return self.operation, self.primary_id


class Batch(Record, frozen=True):
    """At most `BATCH_SIZE` communications: one item of the manifest, handled by one child workflow."""

    index: int
    communications: list[Communication]


class Task(Record, frozen=True):
    """The input of one call of `reprocess`: a communication, and the run and batch that it belongs to.

    `epoch` is that of the batch's reservation (see chalicelib.ledger.pace), `limited` whether the pace made it wait.
    """

    run_id: str
    index: int
    communication: Communication
    requested_by: str
    epoch: int = 0
    limited: bool = False

    @property
    def owner(self) -> str:
        """Who claims the communication: this batch of this run."""
        return owner_of(self.run_id, self.index)


def owner_of(run_id: str, index: int) -> str:
    """Return the name under which a batch of a run claims its communications."""
    return f"{run_id}#{index}"


def run_of(owner: str) -> str:
    """Return the id of the run that an owner belongs to."""
    return owner.rpartition("#")[0]


class TaskResult(Record, frozen=True):
    """What the state machine hands to `record` about one communication: an outcome, or the name of an error.

    `post_ms` is how long the POST took if it was accepted.
    """

    operation: str
    primary_id: str
    outcome: Outcome | None = None
    reason: str | None = None
    error: str | None = None
    post_ms: int | None = None


class OutcomeRecord(Record, frozen=True):
    """How one communication ended a run. `reason` is a code; `manual` says that it went to the worklist.

    `refused` says that the application refused its POST as one too many.
    """

    operation: str
    primary_id: str
    outcome: Outcome
    reason: str | None = None
    relapsed: bool = False
    manual: bool = False
    refused: bool = False


class BatchRecord(Record, frozen=True):
    """The outcomes of a batch, written once at `at`: the only source of truth about them."""

    index: int
    outcomes: list[OutcomeRecord]
    at: int


class Selection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Which failed communications a run is for: the body of `POST /reprocess`. If empty: every eligible communication.

    Times are ISO 8601; `createdAfter` is inclusive, `createdBefore` exclusive. `includeManual` also takes those on the
    worklist, as if somebody had retried each of them, and so does `cause`: all that fails for that cause. With `prove`,
    which needs a `cause`, the run sends a few first and stops when one fails again. `dryRun` only shows what would
    happen. `note` stays with the run.
    """

    operation: Name | None = None
    created_after: str | None = None
    created_before: str | None = None
    created_by: Name | None = None
    primary_ids: Annotated[list[PrimaryId], Meta(min_length=1, max_length=1000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    include_manual: bool = False
    cause: CauseId | None = None
    prove: bool = False
    note: Note | None = None
    dry_run: bool = False

    @property
    def takes_manual(self) -> bool:
        """Whether the run takes what is on the worklist, too. Whoever names a cause has looked at what has it."""
        return self.include_manual or self.cause is not None


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


class WorklistSelection(Record, frozen=True):
    """Which communications on the worklist a bulk run is for: those that match all of it. `note` is for a dismissal."""

    operation: str | None = None
    reason: str | None = None
    cause: CauseId | None = None
    note: str | None = None


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


class Incident(Record, frozen=True):
    """The incident that people know about: its kind, when it began, and when they last heard of it.

    `earlier_kinds` are those that people have heard of since it began. `untold` is how many communications have gone to
    the worklist since they last heard of it. `met_at` is when the last run that met it ended. `returned` says that an
    earlier one had just ended when it began.
    """

    kind: str = field(name="trouble")
    since: int
    notified_at: int = field(name="toldAt")
    earlier_kinds: list[str] = []
    untold: int = 0
    met_at: int = 0
    returned: bool = False


class OutageCause(Record, frozen=True):
    """One of the causes of an outage, and how many communications it had at most in one scan."""

    operation: str
    kind: CauseKind
    reason: str | None = None
    most: int = 0


class Outage(Record, frozen=True):
    """A time in which clearly more communications failed than usual, or in which scheduled runs met trouble.

    Times in milliseconds since 1970. `reason` is why it began: `failures_rose`, or the kind of the incident (see
    chalicelib.notifications.policy). `usual` is how many failed before it (None: nobody knows), `most` how many failed
    in one scan. `over_at` is since when it is over, `settled_at` when nothing of what it hit was left to wait for.

    It hit `hit` communications, of which the last scan (`scan` at `scanned_at`) found `waiting`, `sent` (sent again,
    they may still arrive), `on_worklist` and `dismissed`. All others are not listed as failed any more. `parts` are
    keys in the bucket of those that it hit, `listed` of those that the last complete scan still listed. `overfull`: it
    hit more than are kept. `run_ids` are the last ones of `run_count` that took place in it.
    """

    outage_id: str
    began_at: int
    reason: str
    usual: int | None = None
    most: int = 0
    over_at: int | None = None
    settled_at: int | None = None
    scan: str = ""
    scanned_at: int = 0
    hit: int = 0
    by_operation: dict[str, int] = {}
    waiting: int = 0
    sent: int = 0
    on_worklist: int = 0
    dismissed: int = 0
    causes: list[OutageCause] = []
    run_ids: list[str] = []
    run_count: int = 0
    parts: list[str] = []
    listed: str | None = None
    overfull: bool = False

    @property
    def recovered(self) -> int:
        """How many the application does not list as failed any more."""
        return self.hit - self.waiting - self.sent - self.on_worklist - self.dismissed

    @property
    def is_open(self) -> bool:
        """Whether something of what it hit is left to wait for, or may still be hit."""
        return self.settled_at is None


class Affected(Record, frozen=True):
    """A communication that an outage has hit. `since` is when its age starts, in milliseconds since 1970."""

    operation: str
    primary_id: str
    since: int | None = None


class Checkpoint(Record, frozen=True):
    """Where the next scheduled run resumes: a source, and a page of its list as JSON (None: its first page).

    `source` is a digest of the source's configuration; after an edit, the source is read from its first page.
    """

    operation: str
    source: str
    page: str | None = field(default=None, name="place")


class Notification(Record, frozen=True):
    """One mail, and the topic that it goes to. The state machine sends what Report returns."""

    topic: Topic
    subject: str
    message: str


def json_size(text: str) -> int:
    """Return how many bytes a text takes in JSON, without its quotes."""
    return len(msgspec.json.encode(text)) - 2


def is_primary_id(text: str) -> bool:
    """Whether a text may be an id of the application's. The ids are opaque to us; only their length is bounded."""
    return 0 < json_size(text) <= MAX_ID


def as_json(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record as plain dicts, lists, strings and numbers."""
    builtins: dict[str, Any] = msgspec.to_builtins(record)
    return builtins
