"""What Chalice calls the things that it creates."""

from chalicelib.names import Names

# The functions of app.py; the one of the HTTP API has the app's own name.
FUNCTIONS = ("", "authorizer", "collector", "begin", "reprocess", "record", "report", "request_approval")

# What config.json, and the file of its policy, call each function.
POLICY_FILES = tuple(function or "api_handler" for function in FUNCTIONS)


def functions(names: Names) -> dict[str, str]:
    """Return each function's name in app.py (`""`: the HTTP API) by its name in AWS."""
    return {names.function(function).rstrip("-"): function for function in FUNCTIONS}


def role(names: Names, function: str) -> str:
    """Return the name of a function's role."""
    return names.function(function or "api_handler")


def schedule_rule(names: Names) -> str:
    """Return the name of the schedule's EventBridge rule."""
    return f"{names.function('collector')}-event"


def logical_id(function: str) -> str:
    """Return a function's logical id in a template of `chalice package`."""
    return "".join(word.capitalize() for word in function.split("_")) or "APIHandler"
