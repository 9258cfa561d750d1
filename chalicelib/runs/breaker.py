"""What halts a run: an application that is misconfigured, or that seems to be down."""

from collections.abc import Sequence

from chalicelib.errors import (
    ApplicationError,
    ApplicationMisconfigured,
    ApplicationUnavailable,
    OutcomeUnknown,
    UnexpectedRedirect,
)
from chalicelib.ledger.claims import State
from chalicelib.ledger.runs import Runs
from chalicelib.models import Outcome, OutcomeReason, OutcomeRecord, owner_of
from chalicelib.settings import Settings

# Answers after which every other communication would be answered in the same way.
_MISCONFIGURED = (ApplicationMisconfigured.__name__, UnexpectedRedirect.__name__)

# Answers that say that the application may be down. A rejection does not: it answered about one communication. Nor does
# ApplicationOverloaded: an application that asks for fewer is up.
_FAILURES = (ApplicationUnavailable.__name__, ApplicationError.__name__, OutcomeUnknown.__name__)


def update(
    run_id: str,
    index: int,
    outcomes: Sequence[OutcomeRecord],
    states: Sequence[State],
    runs: Runs,
    settings: Settings,
    *,
    began: bool,
) -> None:
    """Halt the run if the application is misconfigured or seems to be down: more batches would only do harm.

    `states` are what the ledger knows about the batch. The breaker counts only what speaks of the application. A batch
    that did not begin, or that Report completes, does not, nor do Lambdas that were throttled or died, throttled reads
    of the secret, rejected communications, and an application that is overloaded.
    """
    owner = owner_of(run_id, index)
    misconfigured = _misconfigured(states, owner)
    if misconfigured:
        runs.halt(run_id, f"misconfigured:{misconfigured}")
    elif any(outcome.outcome == Outcome.ACCEPTED for outcome in outcomes):
        runs.reset_breaker(run_id)
    elif not (began and any(_is_failure(state, owner) for state in states)):
        return
    elif runs.record_unsuccessful_batch(run_id, index) >= settings.breaker_batches:
        runs.halt(run_id, "breaker")


def _misconfigured(states: Sequence[State], owner: str) -> str | None:
    """Return the reason code of an answer that blames this service and not the communication."""
    for state in states:
        if state.owner == owner and state.answer in _MISCONFIGURED:
            return state.reason
    return None


def _is_failure(state: State, owner: str) -> bool:
    """Whether an owner's attempt ended in a way that says that the application may be down."""
    entry = state.entry_of(owner)
    return entry is not None and entry.answer in _FAILURES and entry.reason != OutcomeReason.SECRET_UNAVAILABLE
