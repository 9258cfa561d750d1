"""Where the next scheduled run goes on, when a limit has stopped this one. No I/O here."""

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from chalicelib.description import Source
from chalicelib.models import Record
from chalicelib.queries import Place


class Position(Record, frozen=True):
    """A source to begin with, and the page of its list as JSON (None: its first).

    `source` is a digest of the source's configuration: what was edited meanwhile is read from the first page.
    """

    operation: str
    source: str
    place: str | None = None


def order(sources: Sequence[Source], position: Position | None) -> Iterator[tuple[Source, Place | None]]:
    """Yield the sources in the order in which they are read, each with the place where its list begins."""
    names = [source.operation for source in sources]
    first = names.index(position.operation) if position and position.operation in names else 0
    for source in [*sources[first:], *sources[:first]]:
        begins = position is not None and position.source == _digest(source)
        place = position.place if position and begins else None
        yield source, msgspec.json.decode(place, type=Place) if place else None


def after(sources: Sequence[Source], source: Source, place: Place | None) -> Position:
    """Return where to go on after a run that stopped before `place` of a source (None: before its first page).

    Entries that were sent leave the list, so a page's number or an offset would skip others: then the next source has
    its turn first, and this one is read from its first page.
    """
    if place and not (source.next and source.next.lasts):
        names = [each.operation for each in sources]
        source, place = sources[(names.index(source.operation) + 1) % len(names)], None
    text = msgspec.json.encode(place).decode() if place else None
    return Position(operation=source.operation, source=_digest(source), place=text)


def _digest(source: Source) -> str:
    return hashlib.sha256(msgspec.json.encode(source)).hexdigest()[:16]
