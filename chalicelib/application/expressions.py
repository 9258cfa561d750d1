"""Evaluates the JMESPath expressions of a source. No I/O here."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jmespath

from chalicelib.application.config import Source
from chalicelib.errors import ListingFailed

# A path of plain names, as most expressions are.
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def evaluate(source: Source, key: str, expression: str | None, data: Any) -> Any:
    """Return what the expression under `key` finds in the data, None if there is no expression.

    ListingFailed if it does not fit the data.
    """
    try:
        return None if expression is None else _compile(expression)(data)
    except ValueError as error:  # jmespath's errors are ValueErrors too
        cause = type(error).__name__
        message = f"{source.operation}: {key} = {expression!r} does not fit the answer: {cause}"
        raise ListingFailed(message, key) from None


@functools.cache
def _compile(expression: str) -> Callable[[Any], Any]:
    """Return a function that evaluates an expression; plain paths take a short cut, for lists of a million records."""
    if _PATH.fullmatch(expression):
        return functools.partial(_walk, expression.split("."))
    compiled: Callable[[Any], Any] = jmespath.compile(expression).search
    return compiled


def _walk(names: list[str], data: Any) -> Any:
    for name in names:
        data = data.get(name) if isinstance(data, dict) else None
    return data
