"""Proves that a cause is fixed: a run that sends its communications in growing batches stops when one fails again."""

from collections.abc import Iterable
from itertools import accumulate
from typing import Literal

import msgspec

from chalicelib.ledger.pace import CANARY, WINDOW_S, Turn
from chalicelib.ledger.runs import Switch
from chalicelib.models.communications import CauseKind
from chalicelib.models.outcomes import SENT, Outcome, OutcomeRecord
from chalicelib.models.runs import Proof, Run, RunStatus
from chalicelib.models.selections import Selection
from chalicelib.runs.causes import Cause

# Why a run is halted whose fix is not proved: the code of what failed again follows. Without one, it took too long.
UNPROVEN = "unproven"

# In seconds: after how long a batch asks again whether it may begin.
_POLL_S = 2

# The kinds of causes that are the application's answers to our POSTs: these can be compared with the next answer.
_ANSWERS = (CauseKind.FAILED, CauseKind.REJECTED, CauseKind.UNKNOWN)


class ProofState(msgspec.Struct, frozen=True):
    """How far the proof of a fix has come.

    `sent` counts what the application got, `failed_again` what failed for the same cause. `stage` is the size of the
    batch that the last communication was in, or `all` beyond the first batches. `stopped`: no further batch begins.
    """

    cause: str
    stage: int | Literal["all"]
    sent: int
    failed_again: int
    stopped: bool


def proof_of(selection: Selection, cause: Cause | None, batch_size: int) -> Proof | None:
    """Return what a run of a selection proves, None if it proves nothing.

    `cause` is that of the first communication in the run; without one, whatever fails counts as failed again.
    """
    if not (selection.prove and selection.cause):
        return None
    return Proof(
        cause=selection.cause,
        kind=cause.kind if cause else CauseKind.UNTRIED,
        reason=cause.reason if cause else None,
        sizes=[min(size, batch_size) for size in CANARY],
    )


def must_wait(switch: Switch, index: int) -> bool:
    """Whether a batch may not begin yet: while a fix is not proved, every batch before it has to end first.

    Batches are small at first, and Step Functions promises neither that children begin in the order of the manifest nor
    that each ends: one that dies is never recorded.
    """
    return bool(switch.proof) and not switch.is_proved and not switch.recorded.issuperset(range(index))


def turn_to_wait(waited: float) -> Turn:
    """Return the turn of a batch that must wait, and has waited for so many seconds.

    Within a minute each of the batches before it has ended, or the run ends: one of them has died, or the application
    is too slow to say more now.
    """
    return Turn(ask_after=_POLL_S) if waited < WINDOW_S - 1 else Turn(halted=UNPROVEN)


def failed_again(proof: Proof | None, outcomes: Iterable[OutcomeRecord]) -> list[OutcomeRecord]:
    """Return what failed again in a run that proves a fix."""
    return [each for each in outcomes if proof and is_same_cause(proof, each.outcome, each.reason)]


def is_same_cause(proof: Proof, outcome: str, reason: str | None) -> bool:
    """Whether a communication that ended so has failed for the cause that was to be fixed.

    The reason code decides, whatever its kind: it is the application's own word. A cause that is no answer to a POST
    has no code to compare with, so everything that was sent in vain counts. What was not sent proves nothing.
    """
    if outcome not in SENT or outcome == Outcome.ACCEPTED:
        return False
    if proof.kind not in _ANSWERS:
        return True
    return reason == proof.reason if proof.reason else outcome == proof.kind


def state_of(run: Run) -> ProofState | None:
    """Return how far a run's proof has come, None if the run proves nothing."""
    if run.proof is None:
        return None
    return ProofState(
        cause=run.proof.cause,
        stage=_stage(run, run.proof),
        sent=run.sent,
        failed_again=run.failed_again,
        stopped=run.failed_again > 0 or run.status == RunStatus.STOPPED,
    )


def _stage(run: Run, proof: Proof) -> int | Literal["all"]:
    """Return the size of the batch that the last communication was in which a run got to."""
    before_batches = sum(run.skipped.values()) if run.closed else 0
    got_to = sum(run.counts.values()) - run.counts.get(Outcome.NOT_ATTEMPTED, 0) - before_batches
    for size, end in zip(proof.sizes, accumulate(proof.sizes), strict=True):
        if got_to <= end:
            return size
    return "all"
