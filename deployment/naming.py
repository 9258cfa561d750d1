"""What Chalice calls the things that it makes."""

from chalicelib.settings import Names

# The functions of app.py; that of the HTTP API bears the app's own name.
FUNCTIONS = ("", "authorizer", "collector", "reprocess", "record", "report", "request_approval")


def functions(names: Names) -> dict[str, str]:
    """Return what app.py calls each function (`""`: the HTTP API), by its name in AWS."""
    return {names.function(function).rstrip("-"): function for function in FUNCTIONS}


def role(names: Names, function: str) -> str:
    """Return the name of a function's role."""
    return names.function(function or "api_handler")


def schedule_rule(names: Names) -> str:
    """Return the name of the schedule's EventBridge rule."""
    return f"{names.function('collector')}-event"


def logical(function: str) -> str:
    """Return what a function is called in a template of `chalice package`."""
    return "".join(word.capitalize() for word in function.split("_")) or "APIHandler"
