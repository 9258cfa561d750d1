"""The end of a batch: the outcome of each of its communications, written once."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from chalicelib.errors import ApplicationOverloaded
from chalicelib.ledger import Ledger, claims
from chalicelib.ledger.claims import State
from chalicelib.ledger.pace import Limits, Turn
from chalicelib.models.batches import Batch, BatchRecord, TaskResult, owner_of
from chalicelib.models.communications import Communication, SkipReason
from chalicelib.models.outcomes import Outcome, OutcomeReason, OutcomeRecord
from chalicelib.models.runs import Proof
from chalicelib.runs import breaker, feedback
from chalicelib.runs.proof import failed_again
from chalicelib.settings import Settings
from chalicelib.telemetry import metrics

# Skip reasons that put a communication on the worklist, once: nothing else will ever send it.
_NEEDS_PERSON = (SkipReason.EXPIRED, SkipReason.RELAPSED, SkipReason.ATTEMPTS_USED_UP)

# What the last try of a communication ends as if it did not POST.
_WITHOUT_POST = (Outcome.SKIPPED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED)

# AWS refused to run the Lambda: the account's concurrent executions are used up (Lambda Developer Guide, "Lambda
# function scaling"), or those that are reserved for the function.
_THROTTLED = "Lambda.TooManyRequestsException"

# What a child saw of a communication that another delivery of the same child may still have been sending.
_PERHAPS_STILL_SENT = (
    OutcomeReason.DIED_WHILE_SENDING,
    OutcomeReason.LAMBDA_FAILED,
    OutcomeReason.LAMBDA_THROTTLED,
    OutcomeReason.PACED,
)

_States = Mapping[tuple[str, str], State]


def finish_batch(
    run_id: str,
    batch: Batch,
    results: list[TaskResult],
    turn: Turn | None,
    ledger: Ledger,
    limits: Limits,
    settings: Settings,
    *,
    began: bool,
) -> dict[str, int]:
    """Record a batch that its child workflow has come to the end of; return the number of each outcome.

    `began` is False for a batch of a halted run, which was not sent at all. If the pace cannot be told, the batch is
    recorded all the same: only its child workflow knows why it skipped a communication.
    """
    states = ledger.communications.read(batch.communications)
    try:
        if turn and began:
            feedback.learn(owner_of(run_id, batch.index), results, states, turn, ledger, limits)
    finally:
        proof = turn.proof if turn else None
        record = record_batch(run_id, batch, results, ledger, settings, began=began, states=states, proof=proof)
    metrics.batch_ended(settings.resource_prefix, record.outcomes)
    return count(record.outcomes)


def complete_batch(run_id: str, batch: Batch, states: _States, ledger: Ledger, settings: Settings) -> BatchRecord:
    """Record a batch whose child workflow has died, and return it as it is recorded.

    `states` are what the ledger knows about its communications. The run's counters follow when it is closed.
    """
    record = _record(run_id, batch, [], states, ledger, settings, began=False)
    if ledger.runs.record_batch(run_id, record):
        return record
    return ledger.runs.read_batch(run_id, batch.index)


def record_batch(
    run_id: str,
    batch: Batch,
    results: list[TaskResult],
    ledger: Ledger,
    settings: Settings,
    *,
    began: bool = True,
    states: _States | None = None,
    proof: Proof | None = None,
) -> BatchRecord:
    """Record how a batch ended and return it; a repetition changes nothing.

    Everything but the counters is done before the record is written, and may be done twice, so dying in between loses
    nothing. `results` say what was skipped, and why; about all that was tried the ledger knows more than a dead Lambda
    can say. What nobody claimed ends as `deferred` if the batch began, otherwise as `not_attempted`.
    In a run that proves a fix, the next batch may begin once this one is through.
    """
    states = ledger.communications.read(batch.communications) if states is None else states
    record = _record(run_id, batch, results, states, ledger, settings, began=began, proof=proof)
    if ledger.runs.record_batch(run_id, record):
        post_times = [result.post_ms for result in results if result.post_ms is not None]
        again = len(failed_again(proof, record.outcomes))
        ledger.runs.add_progress(run_id, count(record.outcomes), post_times, again)
    return record


def settle_batches(
    run_id: str, records: Sequence[BatchRecord], ledger: Ledger, settings: Settings
) -> Iterator[BatchRecord]:
    """Yield recorded batches with what the ledger has learned since, and record that.

    AWS may deliver a child twice, and the delivery that ends first may be recorded while the other one is sending.
    """
    open_outcomes = [each for record in records for each in record.outcomes if each.reason in _PERHAPS_STILL_SENT]
    states = ledger.communications.read(map(_communication, open_outcomes))
    for record in records:
        owner = owner_of(run_id, record.index)
        outcomes = [_settle(outcome, states, owner, ledger, settings) for outcome in record.outcomes]
        settled = msgspec.structs.replace(record, outcomes=outcomes)
        if settled != record:
            ledger.runs.replace_batch(run_id, settled)
        yield settled


def _communication(outcome: OutcomeRecord) -> Communication:
    """Return the communication of an outcome; its owner may move it to the worklist whenever it was listed."""
    return Communication(operation=outcome.operation, primary_id=outcome.primary_id, listed_at=0)


def _settle(outcome: OutcomeRecord, states: _States, owner: str, ledger: Ledger, settings: Settings) -> OutcomeRecord:
    """Return an outcome as the answer to its owner's POST settles it, if it was open and there is an answer now."""
    communication = _communication(outcome)
    state = states.get(communication.key)
    entry = state.entry_of(owner) if state else None
    if outcome.reason not in _PERHAPS_STILL_SENT or entry is None or entry.answer == claims.SENDING:
        return outcome
    settled = _outcome(communication, None, state, owner, began=True)
    return _hand_over(communication, settled, state, owner, ledger, settings)


def _record(
    run_id: str,
    batch: Batch,
    results: list[TaskResult],
    states: _States,
    ledger: Ledger,
    settings: Settings,
    *,
    began: bool,
    proof: Proof | None = None,
) -> BatchRecord:
    """Return how a batch ended, and do what follows from it: the worklist, and the switch."""
    owner = owner_of(run_id, batch.index)
    by_key = {(result.operation, result.primary_id): result for result in results}
    outcomes = []
    for communication in batch.communications:
        state = states.get(communication.key)
        outcome = _outcome(communication, by_key.get(communication.key), state, owner, began=began)
        outcomes.append(_hand_over(communication, outcome, state, owner, ledger, settings))
    breaker.update(run_id, batch.index, outcomes, list(states.values()), ledger, settings, began=began, proof=proof)
    if proof and began:
        accepted = any(each.outcome == Outcome.ACCEPTED for each in outcomes)
        ledger.runs.record_proof(run_id, batch.index, accepted=accepted)
    return BatchRecord(index=batch.index, outcomes=outcomes, at=ledger.clock())


def _outcome(
    communication: Communication, result: TaskResult | None, state: State | None, owner: str, *, began: bool
) -> OutcomeRecord:
    outcome, reason = _what_happened(result, state, owner, began=began)
    operation, primary_id = communication.key
    entry = state.entry_of(owner) if state else None
    return OutcomeRecord(
        operation=operation,
        primary_id=primary_id,
        outcome=outcome,
        reason=reason,
        relapsed=bool(state and state.owner == owner and state.relapsed),
        refused=entry is not None and entry.answer == ApplicationOverloaded.__name__,
    )


def _what_happened(
    result: TaskResult | None, state: State | None, owner: str, *, began: bool
) -> tuple[Outcome, str | None]:
    """Return outcome and reason of one communication."""
    entry = state.entry_of(owner) if state else None
    if entry and entry.answer != claims.SENDING:
        return claims.outcome_of(entry.answer), entry.reason
    # An attempt without an answer may have been sent, whatever kept a later one from claiming.
    if result and result.outcome and not (entry and result.outcome in _WITHOUT_POST):
        return result.outcome, result.reason
    if entry:
        return Outcome.UNKNOWN, OutcomeReason.DIED_WHILE_SENDING
    if not began:
        return Outcome.NOT_ATTEMPTED, None
    throttled = result is not None and result.error == _THROTTLED
    return Outcome.DEFERRED, OutcomeReason.LAMBDA_THROTTLED if throttled else OutcomeReason.LAMBDA_FAILED


def _hand_over(
    communication: Communication,
    outcome: OutcomeRecord,
    state: State | None,
    owner: str,
    ledger: Ledger,
    settings: Settings,
) -> OutcomeRecord:
    """Move a communication that only a person can help to the worklist."""
    used_up = bool(state and state.owner == owner and state.attempts >= settings.max_attempts)
    needs_person = (
        outcome.outcome == Outcome.REJECTED
        or (outcome.outcome == Outcome.FAILED and used_up)
        or (outcome.outcome == Outcome.SKIPPED and outcome.reason in _NEEDS_PERSON)
    )
    reason = outcome.reason or outcome.outcome.value
    if needs_person and ledger.communications.move_to_worklist(communication, owner, reason):
        return msgspec.structs.replace(outcome, manual=True)
    return outcome


def count(outcomes: Iterable[OutcomeRecord]) -> dict[str, int]:
    """Return the number of each outcome."""
    return dict(Counter(outcome.outcome.value for outcome in outcomes))
