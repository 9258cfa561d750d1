"""What people may do with communications, one or many: the rules' words, and how far one call goes."""

from collections import Counter
from collections.abc import Callable

from chalicelib import ids
from chalicelib.configuration import Configuration
from chalicelib.errors import ConfigurationError, Conflict, InvalidRequest, NotFound
from chalicelib.ledger import Ledger
from chalicelib.ledger import worklist as ledgers
from chalicelib.ledger.table import Position
from chalicelib.ledger.worklist import Standing
from chalicelib.views import Many

# How many of a reason one call changes: two writes each, well within API Gateway's 29 seconds.
PIECE = 200

# No source lists this operation any more, so nothing knows how long it has to rest.
NO_SOURCE = "no_source"

_WORDS = {
    ledgers.SENDING: "it may be on its way right now; try again when it is not sending any more",
    ledgers.COOL_DOWN: "what was sent before may still arrive; try again after coolDownUntil",
    ledgers.NOT_MANUAL: "it is not on the worklist; a dismissed one has to be restored first, others run by themselves",
    ledgers.NOT_DISMISSED: "it is not dismissed",
    ledgers.ALREADY: "it is dismissed already",
    NO_SOURCE: "application.toml has no source for its operation any more",
}

# Does something with one communication, and returns why not, or None.
Act = Callable[[str, str], str | None]


def read(communication_id: str, ledger: Ledger) -> Standing:
    """Return what is known of a communication. NotFound if nothing is."""
    standing = ledger.worklist.read(*ids.parse(communication_id))
    if standing is None:
        raise NotFound("the ledger knows nothing of this communication: no run has tried it")
    return standing


def retrying(by: str, ledger: Ledger, configuration: Configuration) -> Act:
    """Return what puts a communication back into the pool."""

    def act(operation: str, primary_id: str) -> str | None:
        try:
            source = configuration.source(operation)
        except ConfigurationError:
            return NO_SOURCE
        return ledger.worklist.retry(operation, primary_id, by, source.cool_down_ms)

    return act


def dismissing(by: str, why: str, ledger: Ledger) -> Act:
    """Return what lets a communication never be sent again."""
    return lambda operation, primary_id: ledger.worklist.dismiss(operation, primary_id, by, why)


def restoring(by: str, ledger: Ledger) -> Act:
    """Return what brings a dismissed communication back to the worklist."""
    return lambda operation, primary_id: ledger.worklist.restore(operation, primary_id, by)


def one(communication_id: str, act: Act, ledger: Ledger) -> Standing:
    """Do something with one communication and return it as it then is. Conflict says why not."""
    refusal = act(*ids.parse(communication_id))
    if refusal and refusal != ledgers.UNKNOWN:
        raise Conflict(_WORDS[refusal])
    return read(communication_id, ledger)


class Piece:
    """What one call did with many: those that it changed, why not the others, and where the next call goes on."""

    def __init__(self, position: Position | None) -> None:
        self.changed: list[tuple[str, str]] = []
        self.refused: Counter[str] = Counter()
        self.position = position


def many(wanted: Many, act: Act, ledger: Ledger) -> Piece:
    """Do something with each of a list of ids, or with the next piece of all manual ones of a reason."""
    found, position = _wanted(wanted, ledger)
    piece = Piece(position)
    for operation, primary_id in found:
        refusal = act(operation, primary_id)
        if refusal:
            piece.refused[refusal] += 1
        else:
            piece.changed.append((operation, primary_id))
    return piece


def _wanted(wanted: Many, ledger: Ledger) -> tuple[list[tuple[str, str]], Position | None]:
    if (wanted.ids is None) == (wanted.reason is None):
        raise InvalidRequest("ids: give either ids or a reason")
    if wanted.ids is not None:
        if wanted.operation or wanted.cursor:
            raise InvalidRequest("ids: take neither operation nor cursor beside them")
        # Each once, in the order given.
        return [_known(each) for each in dict.fromkeys(wanted.ids)], None
    after = ids.position(wanted.cursor, *listing(wanted))
    equal = filters(wanted.operation, wanted.reason)
    page, position = ledger.worklist.page(ledgers.MANUAL, PIECE, after, equal=equal)
    return [(each.operation, each.primary_id) for each in page], position


def _known(communication_id: str) -> tuple[str, str]:
    try:
        return ids.parse(communication_id)
    except NotFound as error:
        raise InvalidRequest(f"ids: {error}") from None


def filters(operation: str | None, reason: str | None) -> dict[str, str]:
    """Return the ledger's attributes that a listing's filters are about."""
    given = {"operation": operation, "manualReason": reason}
    return {name: value for name, value in given.items() if value is not None}


def listing(wanted: Many) -> tuple[object, ...]:
    """Return what a cursor of many is good for: the same filters only."""
    return "many", wanted.reason, wanted.operation
