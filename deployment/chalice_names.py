"""What Chalice calls the things that it creates."""

from collections.abc import Iterable

from chalicelib.names import Names
from deployment.description import API


def function(names: Names, name: str) -> str:
    """Return what a function is called in AWS; the one of the HTTP API has the stage's own name."""
    return names.prefix if name == API else names.function(name)


def functions(names: Names, known: Iterable[str]) -> dict[str, str]:
    """Return these functions' names in app.py by their names in AWS."""
    return {function(names, name): name for name in known}


def role(names: Names, function: str) -> str:
    """Return the name of a function's role."""
    return names.function(function)


def schedule_rule(names: Names, function: str) -> str:
    """Return the name of the EventBridge rule that fires a function."""
    return f"{names.function(function)}-event"


def logical_id(function: str) -> str:
    """Return a function's logical id in a template of `chalice package`."""
    return "APIHandler" if function == API else "".join(word.capitalize() for word in function.split("_"))
