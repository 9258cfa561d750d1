"""The beginning of a batch: whether it may be sent, and when."""

import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from chalicelib.application.config import Configuration
from chalicelib.ledger import Ledger
from chalicelib.ledger.pace import Limits, Turn, reserve
from chalicelib.models.base import Record
from chalicelib.models.batches import owner_of
from chalicelib.runs import proof

# Why a run is halted whose application wants to be left alone for longer than a batch can wait.
OVERLOADED = "overloaded"


class TurnRequest(Record, frozen=True):
    """What a child workflow asks with: its batch, and how many communications that holds.

    `entered_at` is when it entered this state by Step Functions' clock (ISO 8601), `turn` what it was told before.
    """

    run_id: str
    index: int
    size: int
    entered_at: str
    turn: Turn = Turn()


def take_turn(
    request: TurnRequest,
    ledger: Ledger,
    configuration: Configuration,
    sleep: Callable[[float], None] = time.sleep,
) -> Turn:
    """Return when a batch may be sent; its reservation then stands. A halted run sends nothing more.

    If the application wants to be left alone for longer than a child workflow can wait, the run is halted. So is one
    that is to prove a fix, if the batches before this one take that long.
    """
    switch = ledger.runs.read_switch(request.run_id)
    if switch.reason:
        return Turn(halted=switch.reason)
    since = request.turn.since or request.entered_at
    waited = (datetime.fromisoformat(request.entered_at) - datetime.fromisoformat(since)).total_seconds()
    if proof.must_wait(switch, request.index):
        turn = proof.turn_to_wait(waited)
    else:
        owner, limits = owner_of(request.run_id, request.index), limits_of(configuration)
        turn = ledger.pacing.change(lambda pace, now: reserve(pace, owner, request.size, waited, limits, now))
    if turn.halted:
        ledger.runs.halt(request.run_id, turn.halted)
    sleep(turn.after / 1000)  # a state machine waits whole seconds
    return msgspec.structs.replace(turn, since=since, proof=switch.proof)


def limits_of(configuration: Configuration) -> Limits:
    """Return what the application's owner allows."""
    reprocess = configuration.reprocess
    return Limits(max_per_second=reprocess.max_per_second, max_in_flight=reprocess.max_in_flight)
