"""What the expressions of a source find in its answers. No I/O here."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jmespath

from chalicelib.description import Source
from chalicelib.errors import ListingFailed

# A path of plain names, as most expressions are.
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def find(source: Source, key: str, expression: str | None, data: Any) -> Any:
    """Return what an expression of the source's finds. jmespath's errors are ValueErrors, as are Python's own."""
    try:
        return None if expression is None else _compiled(expression)(data)
    except ValueError as error:
        why = type(error).__name__
        raise ListingFailed(f"{source.operation}: {key} = {expression!r} does not fit the answer: {why}", key) from None


@functools.cache
def _compiled(expression: str) -> Callable[[Any], Any]:
    """Return a function that finds an expression; plain paths the short way, for lists of a million records."""
    if _PATH.fullmatch(expression):
        return functools.partial(_walk, expression.split("."))
    compiled: Callable[[Any], Any] = jmespath.compile(expression).search
    return compiled


def _walk(names: list[str], data: Any) -> Any:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data
