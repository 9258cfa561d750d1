"""Sends one communication: claim it, POST it, record the answer."""

from collections.abc import Callable

from chalicelib.application.config import Configuration, Source
from chalicelib.errors import ApplicationOverloaded, ReprocessError
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import ACCEPTED, AlreadySettled, ClaimRefused, Rules, State
from chalicelib.ledger.pace import is_void
from chalicelib.models.batches import Task, TaskResult
from chalicelib.models.communications import Communication, SkipReason
from chalicelib.models.outcomes import Outcome, OutcomeReason
from chalicelib.runs.eligibility import is_expired
from chalicelib.settings import Settings
from chalicelib.telemetry import logs

# POSTs a payload with an idempotency key for a run; raises a ReprocessError unless it was accepted.
Send = Callable[[dict[str, str], str, str], None]


def reprocess_communication(
    task: Task, ledger: Ledger, send: Send, configuration: Configuration, settings: Settings
) -> TaskResult:
    """Send one communication if this task may, and return the result; a ReprocessError says what went wrong.

    The state machine decides about retries. Called again for the same task, the ledger decides whether to POST again.
    """
    communication = task.communication
    source = configuration.source(communication.operation)
    if task.limited and is_void(ledger.pacing.read(), task.epoch):
        return _result(communication, Outcome.NOT_ATTEMPTED, OutcomeReason.PACED)
    if is_expired(communication, source, ledger.clock()):
        return _result(communication, Outcome.SKIPPED, SkipReason.EXPIRED)
    rules = rules_for(source, configuration, settings)
    claim = claim_or_retry(task, ledger, rules)
    if isinstance(claim, ClaimRefused):
        return _result(communication, Outcome.SKIPPED, claim.reason)
    if isinstance(claim, AlreadySettled):
        return _result(communication, claim.outcome, claim.reason)
    post_ms = _send(claim, task, ledger, send, rules)
    return _result(communication, Outcome.ACCEPTED, post_ms=post_ms)


def claim_or_retry(task: Task, ledger: Ledger, rules: Rules) -> State | AlreadySettled | ClaimRefused:
    """Claim a task's communication, and retry it if it is on the worklist and its run may do so.

    The retry belongs to the claim: a run that was rejected, or could not list everything, has changed nothing.
    """
    communication = task.communication
    claim = ledger.communications.claim(task, rules)
    if communication.retry and claim == ClaimRefused(reason=SkipReason.MANUAL):
        listed_at = communication.listed_at
        ledger.worklist.retry(*communication.key, task.requested_by, rules.cool_down, listed_at=listed_at)
        claim = ledger.communications.claim(task, rules)
    return claim


def _result(
    communication: Communication, outcome: Outcome, reason: str | None = None, post_ms: int | None = None
) -> TaskResult:
    operation, primary_id = communication.key
    return TaskResult(operation=operation, primary_id=primary_id, outcome=outcome, reason=reason, post_ms=post_ms)


def _send(claim: State, task: Task, ledger: Ledger, send: Send, rules: Rules) -> int:
    """POST a claimed communication and record the answer; return how many milliseconds the POST took."""
    began = ledger.clock()
    try:
        send(payload(claim), claim.key or "", task.run_id)
    except ReprocessError as error:
        ledger.communications.record_answer(claim, type(error).__name__, error.reason, rules)
        if isinstance(error, ApplicationOverloaded) or error.retry_after is not None:
            _slow_down(task, error, ledger)
        raise
    post_ms = max(0, ledger.clock() - began)
    ledger.communications.record_answer(claim, ACCEPTED, None, rules)
    return post_ms


def _slow_down(task: Task, error: ReprocessError, ledger: Ledger) -> None:
    """Tell the pace, for everybody. If that fails, the error is still what this POST ended with."""
    try:
        ledger.pacing.refused(task.epoch, error.reason, error.retry_after)
    except Exception as failure:  # noqa: BLE001 (the next refusal tries again)
        logs.log_error(failure, task.run_id)


def payload(claim: State) -> dict[str, str]:
    """Return the body of the POST: identical, byte by byte, whenever the claim's key is used."""
    return {
        "primaryId": claim.primary_id,
        "operation": claim.operation,
        "createdBy": claim.created_by or "",
        "created": claim.created or "",
    }


def rules_for(source: Source, configuration: Configuration, settings: Settings) -> Rules:
    """Return the rules for claims on a source's communications."""
    return Rules(
        cool_down=source.cool_down_ms,
        honours_key=configuration.reprocess.honours_idempotency_key,
        max_attempts=settings.max_attempts,
        retention=settings.retention_ms,
    )
