"""One communication: claim it, send it, write down the answer."""

from collections.abc import Callable
from typing import Protocol

from chalicelib import times
from chalicelib.configuration import Configuration, Source
from chalicelib.errors import ReprocessError
from chalicelib.ledger.claims import ACCEPTED, Decided, Refused, Rules, State
from chalicelib.models import Communication, Outcome, Task
from chalicelib.settings import Settings


class Ledger(Protocol):
    """What is needed of the ledger (see chalicelib.ledger.communications)."""

    def claim(self, task: Task, rules: Rules) -> State | Decided | Refused:
        """Claim a communication."""

    def answer(self, claim: State, answer: str, reason: str | None, rules: Rules) -> None:
        """Write the answer to a claim's POST."""


# POST a payload with an idempotency key on behalf of a run; raises a ReprocessError unless it was accepted.
Send = Callable[[dict[str, str], str, str], None]


def reprocess(
    task: Task, ledger: Ledger, send: Send, configuration: Configuration, settings: Settings, clock: times.Clock
) -> Outcome:
    """Send one communication if this task may, and return how it went; a ReprocessError says what went wrong.

    The state machine owns the retries: called again for the same task, the ledger decides whether to POST again.
    """
    it = task.communication
    source = configuration.source(it.operation)
    if expired(it, source, clock()):
        return Outcome(operation=it.operation, primary_id=it.primary_id, outcome="skipped", reason="expired")
    rules = rules_for(source, configuration, settings)
    claim = ledger.claim(task, rules)
    if isinstance(claim, Refused):
        return Outcome(operation=it.operation, primary_id=it.primary_id, outcome="skipped", reason=claim.reason)
    if isinstance(claim, Decided):
        return Outcome(operation=it.operation, primary_id=it.primary_id, outcome=claim.outcome, reason=claim.reason)
    _send(claim, task.run_id, ledger, send, rules)
    return Outcome(operation=it.operation, primary_id=it.primary_id, outcome=ACCEPTED)


def _send(claim: State, run_id: str, ledger: Ledger, send: Send, rules: Rules) -> None:
    try:
        send(payload(claim), claim.key or "", run_id)
    except ReprocessError as error:
        ledger.answer(claim, type(error).__name__, error.reason, rules)
        raise
    ledger.answer(claim, ACCEPTED, None, rules)


def payload(claim: State) -> dict[str, str]:
    """Return the body of the POST: the same, byte by byte, each time that this claim's key is used."""
    return {
        "primaryId": claim.primary_id,
        "operation": claim.operation,
        "createdBy": claim.created_by or "",
        "created": claim.created or "",
    }


def expired(it: Communication, source: Source, now: int) -> bool:
    """Whether a communication is older than its source lets one be sent."""
    limit = source.max_age_ms
    return limit is not None and it.since is not None and now - it.since > limit


def rules_for(source: Source, configuration: Configuration, settings: Settings) -> Rules:
    """Return the rules of a claim on a source's communications."""
    return Rules(
        cool_down=source.cool_down_ms,
        honours_key=configuration.reprocess.honours_idempotency_key,
        max_attempts=settings.max_attempts,
        retention=settings.retention_ms,
    )
