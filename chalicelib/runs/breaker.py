"""What halts a run: an application that is misconfigured, that seems to be down, or that a fix has not helped."""

from collections.abc import Sequence

from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    CommunicationRejected,
    OutcomeUnknown,
    UnexpectedRedirect,
)
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import ACCEPTED, HistoryEntry, State
from chalicelib.ledger.pace import Pace
from chalicelib.ledger.pace_feedback import distrusted
from chalicelib.models.batches import owner_of
from chalicelib.models.outcomes import Outcome, OutcomeReason, OutcomeRecord
from chalicelib.models.runs import Proof
from chalicelib.runs.proof import UNPROVEN, failed_again
from chalicelib.settings import Settings

# Why a run is halted whose application seems to be down.
REASON = "breaker"

# Answers after which every other communication would be answered in the same way.
_MISCONFIGURED = (ApplicationMisconfigured.__name__, UnexpectedRedirect.__name__)

# Answers that say that the application may be down.
_FAILURES = (ApplicationUnavailable.__name__, ApplicationError.__name__, OutcomeUnknown.__name__)

# Answers with which the application shows that it is at work.
ANSWERS = (ACCEPTED, CommunicationRejected.__name__)

# Rejections that speak of the request's URL or form, and so of all communications alike (RFC 9110, section 15.5). Every
# other one is an answer about one communication, as are the application's own reason codes.
_OF_THE_REQUEST = ("http_404", "http_406", "http_410", "http_415")

# The first sends of a run: one communication, then five.
_FIRST_BATCHES = {0, 1}


def update(
    run_id: str,
    index: int,
    outcomes: Sequence[OutcomeRecord],
    states: Sequence[State],
    ledger: Ledger,
    settings: Settings,
    *,
    began: bool,
    proof: Proof | None = None,
) -> None:
    """Halt the run if the application is misconfigured or seems to be down: more batches would only do harm.

    It is also halted if anything fails again whose fix is to be proved. `states` are what the ledger knows about the
    batch. The breaker counts only what speaks of the application. A batch that did not begin, or that Report completes,
    does not, nor do Lambdas that were throttled or died, throttled reads of the secret, and rejected recipients.
    """
    owner = owner_of(run_id, index)
    misconfigured, again = _misconfigured(states, owner), failed_again(proof, outcomes)
    if misconfigured:
        ledger.runs.halt(run_id, f"misconfigured:{misconfigured}")
    elif again:
        ledger.runs.halt(run_id, f"{UNPROVEN}:{again[0].reason or again[0].outcome}")
    elif any(outcome.outcome == Outcome.ACCEPTED for outcome in outcomes):
        ledger.runs.reset_breaker(run_id)
    elif not (began and _has_failed(states, owner)):
        return
    elif are_enough(ledger.runs.record_unsuccessful_batch(run_id, index), ledger.pacing.read(), settings):
        ledger.runs.halt(run_id, REASON)
        ledger.pacing.change(lambda pace, _: (None, distrusted(pace)))


def are_enough(barren: set[int], pace: Pace, settings: Settings) -> bool:
    """Whether so many barren batches say that the application is down.

    The first of a run are small, and say so only while nobody knows whether it works: what is sent first has failed
    before, and may fail for ever, while the application takes everything else.
    """
    return len(barren) >= settings.breaker_batches or (pace.canary > 0 and barren >= _FIRST_BATCHES)


def _misconfigured(states: Sequence[State], owner: str) -> str | None:
    """Return the reason code of an answer that blames this service and not the communication."""
    for state in states:
        if state.owner == owner and state.answer in _MISCONFIGURED:
            return state.reason
    return None


def _has_failed(states: Sequence[State], owner: str) -> bool:
    """Whether any attempt of an owner failed in a way that says that the application may be down, or all in another."""
    entries = [entry for state in states if (entry := state.entry_of(owner))]
    return any(is_failure(entry) for entry in entries if entry.answer in _FAILURES) or (
        bool(entries) and all(is_failure(entry) for entry in entries)
    )


def is_failure(entry: HistoryEntry) -> bool:
    """Whether what an owner's tries of a communication add up to speaks of the application, and not well."""
    if entry.answer == CommunicationRejected.__name__:
        return entry.reason in _OF_THE_REQUEST
    return entry.answer in _FAILURES and entry.reason != OutcomeReason.SECRET_UNAVAILABLE
