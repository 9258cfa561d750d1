"""The base of all records, and the types of their fields."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

# The longest id and author of the application's, in bytes of JSON: so a batch of 40 with its results always fits into
# the 262,144 bytes of a state of Step Functions, and an id into the 2,048 bytes of a key of DynamoDB.
MAX_ID, MAX_AUTHOR = 512, 1024

PrimaryId = Annotated[str, Meta(min_length=1, max_length=MAX_ID, description="at most 512 bytes in JSON")]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
# A person's own words: kept in the ledger, never mailed or logged.
Note = Annotated[str, Meta(min_length=1, max_length=300)]

CauseId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="see GET /causes")]

# Where a page of one of the ledger's indexes ends: the key of its last item, and that item's sort key in the index.
PageKey = tuple[str, str, int]


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of our records: camelCase in JSON and in the table, as in the application's payload.

    A field with an explicit `name=` is stored in the table under that older name: renaming the attribute would orphan
    the items that earlier versions wrote.
    """


def json_size(text: str) -> int:
    """Return how many bytes a text takes in JSON, without its quotes."""
    return len(msgspec.json.encode(text)) - 2


def is_primary_id(text: str) -> bool:
    """Whether a text may be an id of the application's. The ids are opaque to us; only their length is bounded."""
    return 0 < json_size(text) <= MAX_ID


def as_json(record: msgspec.Struct) -> dict[str, Any]:
    """Return a record as plain dicts, lists, strings and numbers."""
    builtins: dict[str, Any] = msgspec.to_builtins(record)
    return builtins
