"""Keeps each page within what a Lambda function may answer."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from chalicelib.models.base import PageKey

T = TypeVar("T")
V = TypeVar("V")

# In bytes: a function may answer 6 MB (AWS Lambda Developer Guide, "Lambda quotas"), headers and cursor included.
MAX_BYTES = 5_000_000


def fit(
    items: Iterable[T], next_key: PageKey | None, view: Callable[[T], V], key_after: Callable[[T], PageKey]
) -> tuple[list[V], PageKey | None]:
    """Return the views of a page's first items, as many as fit into an answer, and the key of the next page."""
    views: list[V] = []
    left, last = MAX_BYTES, None
    for item in items:
        shown = view(item)
        left -= answer_size(shown)
        if left < 0 and last is not None:
            return views, key_after(last)
        views.append(shown)
        last = item
    return views, next_key


def answer_size(view: Any) -> int:
    """Return how many bytes of a function's answer something takes.

    It is JSON in a text of JSON, and up to Python 3.11 the runtime writes each character outside of ASCII as an escape
    of 6 bytes (github.com/aws/aws-lambda-python-runtime-interface-client, issue 87).
    """
    return len(json.dumps(msgspec.json.encode(view).decode()))
