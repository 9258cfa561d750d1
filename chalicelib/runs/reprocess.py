"""Sends one communication: claim it, POST it, record the answer."""

from collections.abc import Callable
from typing import Protocol

from chalicelib import times
from chalicelib.application.config import Configuration, Source
from chalicelib.errors import ReprocessError
from chalicelib.ledger.claims import ACCEPTED, AlreadySettled, ClaimRefused, Rules, State
from chalicelib.models import Communication, Outcome, SkipReason, Task, TaskResult
from chalicelib.runs.eligibility import is_expired
from chalicelib.settings import Settings


class Claims(Protocol):
    """What sending needs of the ledger (see chalicelib.ledger.communications)."""

    def claim(self, task: Task, rules: Rules) -> State | AlreadySettled | ClaimRefused:
        """Claim a communication."""

    def record_answer(self, claim: State, answer: str, reason: str | None, rules: Rules) -> None:
        """Record the answer to a claim's POST."""


# POSTs a payload with an idempotency key for a run; raises a ReprocessError unless it was accepted.
Send = Callable[[dict[str, str], str, str], None]


def reprocess_communication(
    task: Task, claims: Claims, send: Send, configuration: Configuration, settings: Settings, clock: times.Clock
) -> TaskResult:
    """Send one communication if this task may, and return the result; a ReprocessError says what went wrong.

    The state machine decides about retries. Called again for the same task, the ledger decides whether to POST again.
    """
    communication = task.communication
    source = configuration.source(communication.operation)
    if is_expired(communication, source, clock()):
        return _result(communication, Outcome.SKIPPED, SkipReason.EXPIRED)
    rules = rules_for(source, configuration, settings)
    claim = claims.claim(task, rules)
    if isinstance(claim, ClaimRefused):
        return _result(communication, Outcome.SKIPPED, claim.reason)
    if isinstance(claim, AlreadySettled):
        return _result(communication, claim.outcome, claim.reason)
    post_ms = _send(claim, task.run_id, claims, send, rules, clock)
    return _result(communication, Outcome.ACCEPTED, post_ms=post_ms)


def _result(
    communication: Communication, outcome: Outcome, reason: str | None = None, post_ms: int | None = None
) -> TaskResult:
    operation, primary_id = communication.key
    return TaskResult(operation=operation, primary_id=primary_id, outcome=outcome, reason=reason, post_ms=post_ms)


def _send(claim: State, run_id: str, claims: Claims, send: Send, rules: Rules, clock: times.Clock) -> int:
    """POST a claimed communication and record the answer; return how many milliseconds the POST took."""
    began = clock()
    try:
        send(payload(claim), claim.key or "", run_id)
    except ReprocessError as error:
        claims.record_answer(claim, type(error).__name__, error.reason, rules)
        raise
    post_ms = max(0, clock() - began)
    claims.record_answer(claim, ACCEPTED, None, rules)
    return post_ms


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
