"""What people do with communications: look them up, restore them, and retry or dismiss one or many at once."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from chalicelib.application.config import Configuration
from chalicelib.errors import ConfigurationError, Conflict, NotFound
from chalicelib.ledger import Ledger
from chalicelib.ledger.worklist import Refusal, Stay, WorklistEntry, page_key
from chalicelib.models.base import PageKey
from chalicelib.models.communications import CommunicationStatus
from chalicelib.runs.causes import cause_on_worklist
from chalicelib.telemetry import logs
from chalicelib.times import Clock

# How many communications of a reason one call changes. With two calls to DynamoDB for each, that takes a fraction of
# API Gateway's 29 seconds.
BULK_SIZE = 200

# In milliseconds: after that, a bulk change begins with no further communication. The function has 28 s. A call to
# DynamoDB that hangs may take 10 s of the rest, and starting the runs needs some.
BULK_MS = 15_000

# In milliseconds, and at a time: how long a call looks through the worklist for communications with a cause. What is
# left of the function's 28 s is for the last part, and for the answer.
_SEARCH_MS, _SEARCHED = 10_000, 500

_EXPLANATIONS = {
    Refusal.SENDING: "it may be in the middle of being sent; try again when its status is no longer sending",
    Refusal.COOL_DOWN: "what was sent before may still arrive; try again after coolDownUntil",
    Refusal.NOT_ON_WORKLIST: "it is not on the worklist; restore it first if it was dismissed",
    Refusal.NOT_DISMISSED: "it is not dismissed",
    Refusal.ALREADY_DISMISSED: "it is already dismissed",
    Refusal.NO_SOURCE: "no source in application.toml lists its operation any more",
}

# Reads at most so many entries of the worklist, from the one after a key; returns them, and the key of the next ones.
Read = Callable[[int, PageKey | None], tuple[list[WorklistEntry], PageKey | None]]

# Changes one communication, given its operation and primaryId; returns why not, or None if it was done.
Action = Callable[[str, str], Refusal | None]


def get_communication(ledger: Ledger, operation: str, primary_id: str) -> WorklistEntry:
    """Return what is known about a communication. NotFound if nothing is."""
    entry = ledger.worklist.read(operation, primary_id)
    if entry is None:
        raise NotFound("the ledger does not know this communication: no run has tried to send it")
    return entry


def find_communications(ledger: Ledger, primary_id: str, operations: Iterable[str]) -> list[WorklistEntry]:
    """Return what is known, for each of the operations, about a communication with this id of the application's."""
    found = (ledger.worklist.read(operation, primary_id) for operation in operations)
    return [entry for entry in found if entry]


def list_communications(
    ledger: Ledger,
    status: CommunicationStatus,
    operation: str | None,
    reason: str | None,
    size: int,
    after: PageKey | None,
    cause: str | None = None,
) -> tuple[list[WorklistEntry], PageKey | None]:
    """Return at most `size` manual or dismissed communications, longest there first, and the next page's key.

    With `operation`, `reason` or the id of a `cause`, only those. A page may hold fewer, and still have a next one.
    """
    filters = {"operation": operation, "manualReason": reason}
    equal = {name: value for name, value in filters.items() if value is not None}
    read = partial(ledger.worklist.page, status, equal=equal)
    return read(size, after) if cause is None else _search(read, cause, size, after, ledger.clock)


def _search(
    read: Read, cause_id: str, size: int, after: PageKey | None, clock: Clock
) -> tuple[list[WorklistEntry], PageKey | None]:
    """Return the next communications with a cause. No index has it, so the worklist is read until the time is over."""
    deadline = clock() + _SEARCH_MS
    found: list[WorklistEntry] = []
    while True:
        entries, after = read(_SEARCHED, after)
        for entry in entries:
            cause = cause_on_worklist(entry)
            if cause and cause.id == cause_id:
                found.append(entry)
            if len(found) == size:
                return found, page_key(entry)
        if after is None or clock() > deadline:
            return found, after


def retry_action(by: str, ledger: Ledger, configuration: Configuration, stay: Stay | None = None) -> Action:
    """Return the action that makes a communication eligible again; for a bulk run, within a stay on the worklist."""

    def retry(operation: str, primary_id: str) -> Refusal | None:
        try:
            source = configuration.source(operation)
        except ConfigurationError:
            return Refusal.NO_SOURCE
        return ledger.worklist.retry(operation, primary_id, by, source.cool_down_ms, stay=stay)

    return retry


def dismiss_action(by: str, note: str, ledger: Ledger, stay: Stay | None = None) -> Action:
    """Return the action that keeps a communication from ever being sent; for a bulk run, within a stay."""
    return lambda operation, primary_id: ledger.worklist.dismiss(operation, primary_id, by, note, stay=stay)


def restore_action(by: str, ledger: Ledger) -> Action:
    """Return the action that undoes a dismissal."""
    return lambda operation, primary_id: ledger.worklist.restore(operation, primary_id, by)


def apply(action: Action, operation: str, primary_id: str, ledger: Ledger) -> WorklistEntry:
    """Apply an action to one communication and return it as it is then. Conflict says why it cannot be done."""
    refusal = action(operation, primary_id)
    if refusal and refusal != Refusal.UNKNOWN:
        raise Conflict(_EXPLANATIONS[refusal])
    return get_communication(ledger, operation, primary_id)


class BulkOutcome:
    """What one call did to many communications: which it changed, how many it could not and why, and the next page."""

    def __init__(self) -> None:
        self.changed: list[tuple[str, str]] = []
        self.refused: Counter[str] = Counter()
        self.next_key: PageKey | None = None


def apply_to_keys(action: Action, keys: Sequence[tuple[str, str]], clock: Clock) -> BulkOutcome:
    """Apply an action to each of the communications in this order. Without time for the last, they are refused."""
    outcome = BulkOutcome()
    tried = _apply(action, keys, clock, outcome)
    if tried < len(keys):
        outcome.refused[Refusal.NO_TIME.value] = len(keys) - tried
    return outcome


def apply_to_reason(
    action: Action, reason: str, operation: str | None, after: PageKey | None, ledger: Ledger
) -> BulkOutcome:
    """Apply an action to the next communications that are on the worklist for a reason, BULK_SIZE at most."""
    manual = CommunicationStatus.MANUAL
    entries, next_key = list_communications(ledger, manual, operation, reason, BULK_SIZE, after)
    outcome = BulkOutcome()
    tried = _apply(action, [(entry.operation, entry.primary_id) for entry in entries], ledger.clock, outcome)
    outcome.next_key = next_key if tried == len(entries) else page_key(entries[tried - 1])
    return outcome


def _apply(action: Action, keys: Sequence[tuple[str, str]], clock: Clock, outcome: BulkOutcome) -> int:
    """Apply an action to communications until the time is over, at least to the first; return to how many."""
    deadline = clock() + BULK_MS
    for tried, key in enumerate(keys):
        if clock() > deadline:
            return tried
        refusal = _refusal(action, *key)
        if refusal:
            outcome.refused[refusal.value] += 1
        else:
            outcome.changed.append(key)
    return len(keys)


def _refusal(action: Action, operation: str, primary_id: str) -> Refusal | None:
    try:
        return action(operation, primary_id)
    except Exception as error:  # noqa: BLE001 (whatever it is: the caller has to learn what was done to the others)
        logs.log_error(error)
        return Refusal.ERROR
