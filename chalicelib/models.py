"""The immutable records that pass between the parts. No I/O here."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

# What an outcome may be: each matched communication ends a run with exactly one of these.
OUTCOMES = ("accepted", "failed", "rejected", "unknown", "deferred", "skipped", "not_attempted")

# What starts a run.
SCHEDULE, REQUEST = "schedule", "request"

# The status of a run that sends nothing until somebody approves it.
AWAITING = "awaiting_approval"

# The statuses of a run that will not change any more.
CLOSED = ("empty", "succeeded", "partial", "stopped", "declined", "failed")

# An id of the application's is opaque to us; the bound keeps a batch of 40 within a payload of Step Functions.
MAX_ID = 512

PrimaryId = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
# What a person says on why: kept in the ledger, never mailed or logged.
Note = Annotated[str, Meta(min_length=1, max_length=300)]


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of our records: camelCase in JSON and in the table, as in the application's payload."""


class Communication(Record, frozen=True):
    """A failed communication as its source lists it.

    `listed_at` is the time just before the page that holds it was asked for, `since` the time from which its age
    counts (`failed_at`, else `created`); both in milliseconds since 1970.
    """

    operation: str
    primary_id: str
    listed_at: int
    created_by: str | None = None
    created: int | None = None
    since: int | None = None


class Batch(Record, frozen=True):
    """At most `BATCH_SIZE` communications: one item of the manifest, the work of one child workflow."""

    index: int
    communications: list[Communication]


class Task(Record, frozen=True):
    """What one call of `reprocess` gets: a communication, and the run and batch that it belongs to."""

    run_id: str
    index: int
    communication: Communication
    requested_by: str

    @property
    def owner(self) -> str:
        """Who claims the communication: this batch of this run."""
        return owner_of(self.run_id, self.index)


def owner_of(run_id: str, index: int) -> str:
    """Return the owner that a batch of a run claims its communications as."""
    return f"{run_id}#{index}"


class Outcome(Record, frozen=True):
    """How one communication ended a run. `reason` is a code, `manual` that it went to the worklist."""

    operation: str
    primary_id: str
    outcome: str
    reason: str | None = None
    relapsed: bool = False
    manual: bool = False


class Result(Record, frozen=True):
    """What the state machine hands to `record` for one communication: an outcome, or the name of an error."""

    operation: str
    primary_id: str
    outcome: str | None = None
    reason: str | None = None
    error: str | None = None


class BatchRecord(Record, frozen=True):
    """The outcomes of a batch, written once: the only truth about them."""

    index: int
    outcomes: list[Outcome]
    at: int


class Selection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Which failed communications a run is about: the body of `POST /reprocess`. Empty: all that are due.

    Times are ISO 8601; `createdAfter` is inclusive, `createdBefore` exclusive. `includeManual` also takes those on the
    worklist, as if a person had asked to retry each; `dryRun` only tells what would happen; `note` says what it is for.
    """

    operation: Name | None = None
    created_after: str | None = None
    created_before: str | None = None
    created_by: Name | None = None
    primary_ids: Annotated[list[PrimaryId], Meta(min_length=1, max_length=1000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    include_manual: bool = False
    note: Note | None = None
    dry_run: bool = False


class Run(Record, frozen=True):
    """One pass: collect, reprocess, report. Times in milliseconds since 1970.

    `matched` counts all that fit the selection; those in `skipped` (by reason) never entered the manifest.
    `counts` holds outcomes (see OUTCOMES): progress while it runs, the truth once it is closed.
    `left_out` says that a limit cut the selection off: there may be more, and `left_out_count` that it is so many at
    least (None: no list tells). `selection` and `manifest` are keys in the bucket: what was asked for, and the batches.
    `decision` is `approved`, `declined` or `expired`, of a run that had to wait for one. `collections` counts the
    collectors that began on it, the last one at
    `collected_at`. `told` is why people were told of it, `trouble` what kind of trouble it met (see chalicelib.alerts).
    `oldest` is since when the oldest communication waits that was seen and that no person has ruled on.
    """

    run_id: str
    trigger: str
    requested_by: str
    status: str
    requested_at: int
    selection: str | None = None
    manifest: str | None = None
    batches: int = 0
    matched: int = 0
    skipped: dict[str, int] = {}
    not_listed: list[str] = []
    not_listed_count: int = 0
    left_out: bool = False
    left_out_count: int | None = None
    collections: int = 0
    collected_at: int | None = None
    note: str | None = None
    decision: str | None = None
    decided_by: str | None = None
    decided_at: int | None = None
    told: str | None = None
    trouble: str | None = None
    oldest: int | None = None
    ended_at: int | None = None
    error: str | None = None
    counts: dict[str, int] = {}

    @property
    def eligible(self) -> int:
        """How many communications its manifest holds: those that matched and were not left alone."""
        return self.matched - sum(self.skipped.values())

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.status in CLOSED


class Notification(Record, frozen=True):
    """What Report hands to the state machine: the topic (`succeeded`, `failed`, or `nobody` is told) and the mail."""

    topic: str
    subject: str
    message: str


def as_json(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record as what `json` knows: a dict of dicts, lists, strings and numbers."""
    builtins: dict[str, Any] = msgspec.to_builtins(record)
    return builtins


def code(text: object, otherwise: str) -> str:
    """Return a reason code of the application's if that is what it is, else ours: a sentence may name a person."""
    return text if isinstance(text, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:-]{0,99}", text) else otherwise
