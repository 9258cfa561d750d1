"""The end of a batch: what became of each of its communications, written once."""

from collections.abc import Iterable, Mapping

import msgspec

from chalicelib import times
from chalicelib.errors import ApplicationMisconfigured
from chalicelib.ledger import Ledger, claims
from chalicelib.ledger.claims import ACCEPTED, State
from chalicelib.ledger.runs import Runs
from chalicelib.models import Batch, BatchRecord, Communication, Outcome, Result, owner_of
from chalicelib.settings import Settings

# Reasons for leaving a communication alone that put it on the worklist, once: nothing else will ever send it.
_FOR_A_PERSON = ("expired", "relapsed", "attempts_used_up")

_States = Mapping[tuple[str, str], State]


def record_batch(
    run_id: str,
    batch: Batch,
    results: Iterable[Result],
    ledger: Ledger,
    settings: Settings,
    clock: times.Clock,
    *,
    begun: bool = True,
) -> BatchRecord:
    """Write down how a batch ended and return it; a repetition changes nothing.

    All but the counters is done before the record is put, and may be done twice: dying in between loses nothing.
    `results` tell what was skipped, and why; of all that was tried the ledger knows more than a dead Lambda can say.
    What nobody claimed ends as `deferred` in a batch that had begun, otherwise as `not_attempted`.
    """
    owner = owner_of(run_id, batch.index)
    states = ledger.communications.read(batch.communications)
    found = {(result.operation, result.primary_id): result for result in results}
    outcomes = []
    for it in batch.communications:
        key = (it.operation, it.primary_id)
        outcome = _outcome(it, found.get(key), states.get(key), owner, begun=begun)
        outcomes.append(_hand_over(it, outcome, states.get(key), owner, ledger, settings))
    _judge(run_id, batch.index, outcomes, _misconfigured(states, owner), ledger.runs, settings, begun=begun)
    record = BatchRecord(index=batch.index, outcomes=outcomes, at=clock())
    if ledger.runs.record_batch(run_id, record):
        ledger.runs.progress(run_id, count(outcomes))
    return record


def _outcome(it: Communication, result: Result | None, state: State | None, owner: str, *, begun: bool) -> Outcome:
    outcome, reason = _what_happened(result, state, owner, begun=begun)
    relapsed = bool(state and state.owner == owner and state.relapsed)
    return Outcome(operation=it.operation, primary_id=it.primary_id, outcome=outcome, reason=reason, relapsed=relapsed)


def _what_happened(result: Result | None, state: State | None, owner: str, *, begun: bool) -> tuple[str, str | None]:
    """Return outcome and reason of one communication."""
    entry = state.entry_of(owner) if state else None
    if entry and entry.answer != "sending":
        return claims.outcome_of(entry.answer), entry.reason
    # A try without an answer may have been sent, whatever kept a later one from claiming: it was not skipped.
    if result and result.outcome and not (entry and result.outcome == "skipped"):
        return result.outcome, result.reason
    if entry:
        return "unknown", "died_while_sending"
    return ("deferred", "lambda_failed") if begun else ("not_attempted", None)


def _hand_over(
    it: Communication, outcome: Outcome, state: State | None, owner: str, ledger: Ledger, settings: Settings
) -> Outcome:
    """Hand a communication that nothing but a person can help to the worklist."""
    used_up = bool(state and state.owner == owner and state.attempts >= settings.max_attempts)
    helpless = (
        outcome.outcome == "rejected"
        or (outcome.outcome == "failed" and used_up)
        or (outcome.outcome == "skipped" and outcome.reason in _FOR_A_PERSON)
    )
    if helpless and ledger.communications.to_worklist(it, owner, outcome.reason or outcome.outcome):
        return msgspec.structs.replace(outcome, manual=True)
    return outcome


def _misconfigured(states: _States, owner: str) -> str | None:
    """Return the reason code of an answer that said that we, not the communication, are at fault."""
    for state in states.values():
        if state.owner == owner and state.answer == ApplicationMisconfigured.__name__:
            return state.reason
    return None


def _judge(
    run_id: str,
    index: int,
    outcomes: list[Outcome],
    misconfigured: str | None,
    runs: Runs,
    settings: Settings,
    *,
    begun: bool,
) -> None:
    """Halt the run if the application is misconfigured or seems to be down: more batches would only hurt it.

    What Report completes says nothing of the application (and no batch comes after it): the breaker leaves it out.
    """
    tried = [outcome for outcome in outcomes if outcome.outcome not in ("skipped", "not_attempted")]
    if misconfigured:
        runs.halt(run_id, f"misconfigured:{misconfigured}")
    elif any(outcome.outcome == ACCEPTED for outcome in tried):
        runs.fruitful(run_id)
    elif begun and tried and runs.barren(run_id, index) >= settings.breaker_batches:
        runs.halt(run_id, "breaker")


def count(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Return how many outcomes there are of each kind."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
    return counts
