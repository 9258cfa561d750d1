"""Where the next scheduled run resumes when a limit has stopped this one. No I/O here."""

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from chalicelib.application.config import Source
from chalicelib.application.list_requests import PageRequest
from chalicelib.models.selections import Checkpoint


def resume_order(
    sources: Sequence[Source], checkpoint: Checkpoint | None
) -> Iterator[tuple[Source, PageRequest | None]]:
    """Yield the sources in the order in which to read them, each with the page to begin at (None: its first)."""
    operations = [source.operation for source in sources]
    known = checkpoint is not None and checkpoint.operation in operations
    first = operations.index(checkpoint.operation) if checkpoint and known else 0
    for source in [*sources[first:], *sources[:first]]:
        resumes = checkpoint is not None and checkpoint.source == _digest(source)
        page = checkpoint.page if checkpoint and resumes else None
        yield source, msgspec.json.decode(page, type=PageRequest) if page else None


def next_checkpoint(sources: Sequence[Source], source: Source, request: PageRequest | None) -> Checkpoint:
    """Return where to resume after a run that stopped before a page of a source (None: before its first page).

    What was sent leaves the list, so a page number or an offset would skip other entries. Such a source is read from
    its first page again, after the others have had their turn.
    """
    if request and not (source.next and source.next.is_stable):
        operations = [each.operation for each in sources]
        source, request = sources[(operations.index(source.operation) + 1) % len(operations)], None
    page = msgspec.json.encode(request).decode() if request else None
    return Checkpoint(operation=source.operation, source=_digest(source), page=page)


def _digest(source: Source) -> str:
    return hashlib.sha256(msgspec.json.encode(source)).hexdigest()[:16]
