"""What people decide about communications: retry, dismiss or restore. Every decision is kept."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec
from msgspec import field

from chalicelib import times
from chalicelib.ledger.claims import State
from chalicelib.ledger.communications import key_of
from chalicelib.ledger.table import ConditionFailed, Item, Table, change_of
from chalicelib.models.base import PageKey, Record
from chalicelib.models.communications import CommunicationStatus


class Action(StrEnum):
    """What a person decided."""

    RETRY = "retry"
    DISMISS = "dismiss"
    RESTORE = "restore"


class Refusal(StrEnum):
    """Why a decision cannot be carried out."""

    UNKNOWN = "unknown"
    SENDING = "sending"
    COOL_DOWN = "cool_down"
    NOT_ON_WORKLIST = "not_on_worklist"
    NOT_DISMISSED = "not_dismissed"
    ALREADY_DISMISSED = "already_dismissed"
    # No source lists the operation any more, so nothing says how long its cool-down is.
    NO_SOURCE = "no_source"
    # A bulk change had no time left for it.
    NO_TIME = "no_time"
    # AWS refused a call or did not answer, so the change may or may not have been made.
    ERROR = "error"


# How many decisions a communication keeps.
DECISIONS = 20

# The reason of a communication that returns to the worklist without one: version 0.1.0 dismissed it.
_RESTORED = "restored"

# What belongs to earlier attempts, the key above all: a retry is a new send, with a new key. Without owner and
# claim, nothing that an earlier run delivers late can go on with its own attempt.
_FORGOTTEN: dict[str, None] = dict.fromkeys(
    (
        *("worklist", "manualBy", "manualReason", "manualSince", "key", "created", "createdBy", "owner", "claimId"),
        *("answer", "reason", "inDoubt", "doubtUntil", "previousUntil", "previousStatus", "attemptsBefore"),
        "failureReason",
    )
)

# A decision rests on these: if a claim, an answer or another decision changes one of them, it is judged anew.
_JUDGED = ("status", "claimId", "until", "rulings")


class Decision(Record, frozen=True):
    """What a person decided, when (milliseconds since 1970), and their note.

    If a bulk run carried it out, `run_id` is that run, and `since` the time when the communication had come to the
    worklist.
    """

    action: Action = field(name="did")
    by: str
    at: int
    note: str | None = field(default=None, name="why")
    run_id: str | None = None
    since: int | None = None


class Stay(Record, frozen=True):
    """What a bulk run decides about: a communication for as long as it stays on the worklist where it has been `since`.

    It is judged `as_of` a time, so that whoever carries out the same decision again, or at the same time, comes to the
    same end. All in milliseconds since 1970.
    """

    run_id: str
    since: int
    as_of: int


class WorklistEntry(State, frozen=True):
    """A communication as people see it: its state, and what people have decided about it.

    It keeps the last DECISIONS decisions; `decisions_forgotten` counts the earlier ones. `dismissed_from` is the status
    that a dismissed one had before (None: version 0.1.0 dismissed it).
    """

    dismissed_from: CommunicationStatus | None = None
    decisions: list[Decision] = field(default_factory=list, name="rulings")
    decisions_forgotten: int = 0

    @property
    def cool_down_until(self) -> int:
        """Until when what was sent may still be processed, in milliseconds since 1970 (0: nothing was sent)."""
        return max(self.until, self.doubt_until)


# Returns why a decision about a communication is refused, or None if it is not.
Refuse = Callable[[State], Refusal | None]

# Returns the attributes that change with a decision about a communication (None: the attribute is removed).
Change = Callable[[WorklistEntry], Item]


class Worklist:
    """The communications in one deployment's table that are, or were, for people to decide."""

    def __init__(self, table: Table, clock: times.Clock, retention: int) -> None:
        self._table = table
        self._clock = clock
        self._retention = retention

    def read(self, operation: str, primary_id: str) -> WorklistEntry | None:
        """Return what is known about a communication, None if nothing is."""
        item = self._table.get(*key_of(operation, primary_id))
        return _entry(item) if item else None

    def page(
        self, status: CommunicationStatus, size: int, after: PageKey | None, *, equal: Mapping[str, str]
    ) -> tuple[list[WorklistEntry], PageKey | None]:
        """Return at most `size` manual or dismissed communications, longest there first, and the next page's key.

        Eventually consistent. `equal` may hold `manualReason` and `operation`.
        """
        items, key = self._table.page(("worklist", status, "manualSince"), size, after, equal=dict(equal))
        return [_entry(item) for item in items], key

    def retry(
        self,
        operation: str,
        primary_id: str,
        by: str,
        cool_down: int,
        *,
        listed_at: int | None = None,
        stay: Stay | None = None,
    ) -> Refusal | None:
        """Make a manual communication eligible again, with fresh attempts; return why not, or None if it was done.

        No run whose listing is older may send it. A run that retries for its requester passes in `listed_at` the time
        of the listing that its own claim rests on, and a bulk run the `stay` that it decides about.
        """
        now = self._clock()
        as_of = stay.as_of if stay else now if listed_at is None else listed_at
        decision = Decision(action=Action.RETRY, by=by, at=now)
        changes = changes_of_retry(now, as_of) | {"expiresAt": (now + self._retention) // 1000}
        refuse = partial(retry_refusal, as_of=as_of, cool_down=cool_down)
        return self._decide(operation, primary_id, _of(stay, decision), _within(stay, refuse), lambda _: changes)

    def dismiss(
        self, operation: str, primary_id: str, by: str, note: str, *, stay: Stay | None = None
    ) -> Refusal | None:
        """Keep a communication from ever being sent; return why not, or None if it was done."""
        decision = Decision(action=Action.DISMISS, by=by, at=self._clock(), note=note)
        change = partial(changes_of_dismissal, now=decision.at)
        return self._decide(operation, primary_id, _of(stay, decision), _within(stay, dismissal_refusal), change)

    def restore(self, operation: str, primary_id: str, by: str) -> Refusal | None:
        """Make a dismissed communication what it was before; return why not, or None if it was done."""
        now = self._clock()
        decision = Decision(action=Action.RESTORE, by=by, at=now)
        change = partial(changes_of_restore, now=now, expires_at=(now + self._retention) // 1000)
        return self._decide(operation, primary_id, decision, restore_refusal, change)

    def _decide(
        self, operation: str, primary_id: str, decision: Decision, refuse: Refuse, change: Change
    ) -> Refusal | None:
        """Carry out a decision about a communication as it is now; return why not, or None if it was done."""
        key = key_of(operation, primary_id)
        item = self._table.get(*key)
        while item:
            entry = _entry(item)
            if is_carried_out(decision, entry):
                return None  # Another collector of the bulk run, or one that died, has been here before.
            if refusal := refuse(entry):
                return refusal
            seen = {name: item.get(name) for name in _JUDGED}
            try:
                self._table.update(key, *change_of(change(entry) | with_decision(entry, decision), seen))
            except ConditionFailed as meanwhile:
                item = meanwhile.item
                if item and decision in _entry(item).decisions:
                    return None  # The SDK repeated this very write because it had not heard that it succeeded.
            else:
                return None
        return Refusal.UNKNOWN


def page_key(entry: WorklistEntry) -> PageKey:
    """Return the key of the page after an entry of the worklist, or of the dismissed ones."""
    pk, sk = key_of(entry.operation, entry.primary_id)
    return pk, sk, entry.manual_since or 0


# -- the rules, without the table


def stay_refusal(entry: State, stay: Stay) -> Refusal | None:
    """Return why a bulk run may not decide about a communication any more, or None if it is still where it was.

    Once its stay on the worklist has ended, that is final: if it comes back, it has been there since another time.
    """
    stays = entry.status == CommunicationStatus.MANUAL and entry.manual_since == stay.since
    return None if stays else Refusal.NOT_ON_WORKLIST


def _within(stay: Stay | None, refuse: Refuse) -> Refuse:
    """Return a rule that also holds a bulk run to the stay that it decides about."""
    return (lambda entry: stay_refusal(entry, stay) or refuse(entry)) if stay else refuse


def _of(stay: Stay | None, decision: Decision) -> Decision:
    """Return a decision as that of a bulk run, if it is one."""
    return msgspec.structs.replace(decision, run_id=stay.run_id, since=stay.since) if stay else decision


def is_carried_out(decision: Decision, entry: WorklistEntry) -> bool:
    """Whether a bulk run has carried out its decision about a communication before."""
    if decision.run_id is None:
        return False
    return any((each.run_id, each.since) == (decision.run_id, decision.since) for each in entry.decisions)


def retry_refusal(entry: State, as_of: int, cool_down: int) -> Refusal | None:
    """Return why a communication cannot be retried as of a time, or None if it can.

    A retry is a POST with another key, so nothing that was sent before may still be on its way. An earlier POST in
    doubt counts for a whole cool-down, even where the application honours keys and the claim itself was free at once.
    """
    if entry.status == CommunicationStatus.SENDING:
        return Refusal.SENDING
    if entry.status != CommunicationStatus.MANUAL or (entry.manual_since or 0) > as_of:
        return Refusal.NOT_ON_WORKLIST
    doubt_until = entry.doubt_until
    if entry.in_doubt and not doubt_until:  # an item of version 0.1.0
        doubt_until = entry.history[-1].at + cool_down
    return Refusal.COOL_DOWN if max(entry.until, doubt_until) >= as_of else None


def dismissal_refusal(entry: State) -> Refusal | None:
    """Return why a communication cannot be dismissed now, or None if it can."""
    if entry.status == CommunicationStatus.SENDING:
        return Refusal.SENDING
    return Refusal.ALREADY_DISMISSED if entry.status == CommunicationStatus.DISMISSED else None


def restore_refusal(entry: State) -> Refusal | None:
    """Return why a communication cannot be restored now, or None if it can."""
    return None if entry.status == CommunicationStatus.DISMISSED else Refusal.NOT_DISMISSED


def changes_of_retry(now: int, as_of: int) -> Item:
    """Return the attributes that change when a communication is retried (None: the attribute is removed)."""
    return {"status": CommunicationStatus.OPEN, "attempts": 0, "until": as_of - 1, "retriedAt": now, **_FORGOTTEN}


def changes_of_dismissal(entry: WorklistEntry, now: int) -> Item:
    """Return the attributes that change when a communication is dismissed."""
    dismissed = CommunicationStatus.DISMISSED
    return {
        "status": dismissed,
        "worklist": dismissed,
        "manualSince": now,
        "dismissedFrom": entry.status,
        "expiresAt": None,
    }


def changes_of_restore(entry: WorklistEntry, now: int, expires_at: int) -> Item:
    """Return the attributes that change when a dismissed communication becomes what it was before.

    It returns to the worklist only if it was there: its reason says why, and a retry may send it again.
    """
    manual = CommunicationStatus.MANUAL
    changes: Item = {"status": entry.dismissed_from or manual, "dismissedFrom": None}
    if changes["status"] == manual:
        return changes | {"worklist": manual, "manualSince": now, "manualReason": entry.manual_reason or _RESTORED}
    return changes | {"worklist": None, "manualSince": None, "expiresAt": expires_at}


def with_decision(entry: WorklistEntry, decision: Decision) -> Item:
    """Return the attributes that change with one more decision."""
    decisions = [*entry.decisions, decision]
    forgotten = entry.decisions_forgotten + max(0, len(decisions) - DECISIONS)
    return {"rulings": msgspec.to_builtins(decisions[-DECISIONS:]), "decisionsForgotten": forgotten}


def _entry(item: dict[str, Any]) -> WorklistEntry:
    return msgspec.convert(item, WorklistEntry)
