"""What people can look up about outages."""

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from chalicelib.application.config import Configuration
from chalicelib.errors import ManifestLost, NotFound, RunNotFound
from chalicelib.ledger import Ledger
from chalicelib.ledger.claims import State
from chalicelib.manifests import Manifests
from chalicelib.models.communications import Communication
from chalicelib.models.notifications import Incident
from chalicelib.models.outages import Affected, Outage
from chalicelib.models.runs import RunStatus
from chalicelib.runs import cost
from chalicelib.runs.affected import digest_of, state_of
from chalicelib.runs.outages import is_trouble
from chalicelib.runs.pace import PaceState
from chalicelib.settings import Settings

# Where a page of those that an outage has hit begins: the number of a part, and a byte of it.
AffectedKey = tuple[int, int]

RECOVERED = "recovered"


class AffectedRow(msgspec.Struct, frozen=True):
    """A communication that an outage has hit, and its `state`: a field of Outage, or RECOVERED.

    `since` is when its age starts, `sent_at` when a run last tried it, both in milliseconds since 1970.
    """

    operation: str
    primary_id: str
    since: int | None
    sent_at: int | None
    state: str


def get_outage(ledger: Ledger, outage_id: str) -> Outage:
    """Return an outage. NotFound if there is none of that id."""
    outage = ledger.outages.read(outage_id)
    if outage is None:
        raise NotFound("there is no outage of that id; GET /outages lists them")
    return outage


def expected_end(
    outage: Outage,
    incident: Incident | None,
    pace: PaceState,
    configuration: Configuration,
    settings: Settings,
    *,
    is_held: bool,
) -> int | None:
    """Return when an outage may be settled (milliseconds since 1970) if the pace stays as it is.

    None if it is settled, or while nobody can know. What waits is sent first, and has a cool-down to arrive in.
    """
    is_in_trouble = outage.over_at is None and is_trouble(incident)
    if not outage.is_open or is_in_trouble or is_held:
        return None
    post_ms = pace.pace.usual_ms or cost.ASSUMED_POST_MS
    seconds = cost.seconds_left(outage.waiting, pace.within(settings), post_ms, pace.lasting_per_second)
    cool_down = max(source.cool_down_ms for source in configuration.sources)
    return (pace.blocked_until or pace.now) + round(seconds * 1000) + cool_down


def is_schedule_held(ledger: Ledger) -> bool:
    """Whether people keep the schedule from running: it is paused, or its run waits for approval."""
    if ledger.schedule.paused():
        return True
    holder, _ = ledger.schedule.lock_holder()
    try:
        return bool(holder) and ledger.runs.read(holder).status == RunStatus.AWAITING_APPROVAL
    except RunNotFound:
        return False


def list_affected(
    outage: Outage, ledger: Ledger, manifests: Manifests, size: int, start: AffectedKey
) -> tuple[list[AffectedRow], AffectedKey | None]:
    """Return at most `size` of those that an outage has hit, and where the next page begins (None: this is the last).

    Each is as the ledger knows it now, and as the last scan found it. NotFound if the bucket has deleted what it hit.
    """
    try:
        found = list(itertools.islice(_affected_from(outage, manifests, start), size + 1))
        listed = manifests.read_listed(outage.listed) if outage.listed else set()
    except ManifestLost:
        raise NotFound("the bucket has deleted whom this outage hit; it keeps that for 90 days") from None
    affected = [each for _, each in found[:size]]
    return _rows(affected, listed, outage.scanned_at, ledger), found[size][0] if len(found) > size else None


def _affected_from(outage: Outage, manifests: Manifests, start: AffectedKey) -> Iterator[tuple[AffectedKey, Affected]]:
    for number, part in enumerate(outage.parts[start[0] :], start[0]):
        begin = start[1] if number == start[0] else 0
        for position, affected in manifests.read_affected(part, begin):
            yield (number, position), affected


def _rows(affected: Sequence[Affected], listed: set[int], listed_at: int, ledger: Ledger) -> list[AffectedRow]:
    known = [
        Communication(operation=each.operation, primary_id=each.primary_id, listed_at=listed_at) for each in affected
    ]
    states = ledger.communications.read(known)
    rows = []
    for each, communication in zip(affected, known, strict=True):
        state = states.get(communication.key)
        is_listed = digest_of(*communication.key) in listed
        rows.append(
            AffectedRow(
                operation=each.operation,
                primary_id=each.primary_id,
                since=each.since,
                sent_at=_sent_at(state),
                state=state_of(communication, state) if is_listed else RECOVERED,
            )
        )
    return rows


def _sent_at(state: State | None) -> int | None:
    return state.history[-1].at if state and state.history else None
