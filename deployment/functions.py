"""The Lambdas, the API and the schedule: Chalice's part, `chalice deploy`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from chalicelib.settings import Names
from deployment.steps import Done

# The functions of app.py; that of the HTTP API bears the app's own name.
FUNCTIONS = ("", "authorizer", "collector", "reprocess", "record", "report", "request_approval")

_CHALICE = "import sys; from chalice.cli import main; sys.exit(main())"

# What of a function's configuration a deployment may change.
_WATCHED = ("CodeSha256", "Environment", "Timeout", "MemorySize", "Handler", "Runtime")


class ChaliceFailed(Exception):
    """`chalice deploy` did not succeed; the message is what it printed last."""


def ensure(client: Any, names: Names, project: Path, stage: str) -> Done:
    """Run `chalice deploy` and tell what it changed of the functions."""
    before = _deployed(client, names)
    arguments = [sys.executable, "-c", _CHALICE, "deploy", "--stage", stage]
    finished = subprocess.run(arguments, cwd=project, capture_output=True, text=True, check=False)
    if finished.returncode:
        last = "\n".join((finished.stdout + finished.stderr).strip().splitlines()[-15:])
        raise ChaliceFailed(f"chalice deploy --stage {stage} failed:\n{last}")
    if not before:
        return Done.CREATED
    return Done.UNCHANGED if _deployed(client, names) == before else Done.CHANGED


def _deployed(client: Any, names: Names) -> dict[str, Any]:
    """Return what is deployed now, by function name."""
    found = {}
    for function in FUNCTIONS:
        name = names.function(function).rstrip("-")
        try:
            configuration = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        found[name] = {key: configuration.get(key) for key in _WATCHED}
    return found


def ensure_no_retries(client: Any, names: Names) -> Done:
    """Make sure that Lambda does not repeat a collector that failed: it tells people itself, and is due again soon."""
    name = names.function("collector")
    try:
        found = client.get_function_event_invoke_config(FunctionName=name).get("MaximumRetryAttempts")
    except client.exceptions.ResourceNotFoundException:
        found = None
    if found == 0:
        return Done.UNCHANGED
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    return Done.CREATED if found is None else Done.CHANGED


def rest_api(project: Path, stage: str) -> dict[str, str]:
    """Return what Chalice noted of the API that it deployed: `rest_api_id` and `rest_api_url`."""
    file = project / ".chalice" / "deployed" / f"{stage}.json"
    resources = json.loads(file.read_text(encoding="utf-8"))["resources"]
    found: dict[str, str] = next(each for each in resources if each["resource_type"] == "rest_api")
    return found
