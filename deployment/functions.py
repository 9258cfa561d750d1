"""The functions, the API and the schedule: what `chalice deploy` does, and what it leaves undone."""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deployment import api, chalice_names, roles
from deployment.clients import Clients
from deployment.stage import Stage
from deployment.steps import StepResult

_CHALICE = "import sys; from chalice.cli import main; sys.exit(main())"


class ChaliceFailed(Exception):
    """`chalice deploy` did not succeed. The message is what it printed last."""


def ensure(clients: Clients, stage: Stage) -> StepResult:
    """Run `chalice deploy`, and return what it changed about the functions."""
    before = _deployed(clients, stage)
    if stage.description.has_api:
        api.adopt(clients("apigateway"), stage)
    try:
        _chalice(stage, "deploy", "--stage", stage.name)
    except ChaliceFailed:
        with suppress(BotoCoreError, ClientError):
            _update_handlers(clients, stage, unless=before)
        raise
    _update_handlers(clients, stage, unless={})
    _check_names(stage)
    if not before:
        return StepResult.CREATED
    return StepResult.UNCHANGED if _deployed(clients, stage) == before else StepResult.CHANGED


def _check_names(stage: Stage) -> None:
    """Refuse a description that does not name the functions which Chalice found in app.py, and noted."""
    noted = json.loads(stage.deployed.read_text(encoding="utf-8"))["resources"]
    found = {each["name"] for each in noted if each["resource_type"] == "lambda_function"}
    if different := sorted(found ^ set(stage.description.functions)):
        raise ChaliceFailed(f"app.py and description.py do not name the same functions: {', '.join(different)}")


def compare(clients: Clients, stage: Stage) -> StepResult:
    """Return what `chalice deploy` would change about the functions. It packages them, and uploads nothing."""
    deployed = _deployed(clients, stage)
    if len(deployed) < len(stage.description.functions):
        return StepResult.CHANGED if deployed else StepResult.CREATED
    with tempfile.TemporaryDirectory() as folder:
        _chalice(stage, "package", "--stage", stage.name, folder)
        wanted = _packaged(Path(folder), stage)
    return StepResult.UNCHANGED if wanted == deployed else StepResult.CHANGED


def _chalice(stage: Stage, *arguments: str) -> None:
    command = [sys.executable, "-c", _CHALICE, *arguments]
    finished = subprocess.run(command, cwd=stage.project, capture_output=True, text=True, check=False)
    if finished.returncode:
        last = "\n".join((finished.stdout + finished.stderr).strip().splitlines()[-15:])
        raise ChaliceFailed(
            f"chalice {arguments[0]} for stage {stage.name} failed:\n{last}\n"
            "Fix what it reports, then run the same command again; it continues where it stopped."
        )


def _update_handlers(clients: Clients, stage: Stage, unless: dict[str, Any]) -> None:
    """Update the handlers of functions that an earlier version deployed under other names.

    Chalice sets a function's handler when it creates the function, and never updates it. Functions that have the code
    that they have in `unless` are left alone: a deployment that failed has not reached them, and code and handler have
    to go together.
    """
    client, functions = clients("lambda"), _functions(stage)
    for name, found in _deployed(clients, stage).items():
        handler = stage.description.handler(functions[name])
        if found["handler"] != handler and found["code"] != unless.get(name, {}).get("code"):
            client.get_waiter("function_updated_v2").wait(FunctionName=name)
            client.update_function_configuration(FunctionName=name, Handler=handler)


def _functions(stage: Stage) -> dict[str, str]:
    return chalice_names.functions(stage.names, stage.description.functions)


def _packaged(folder: Path, stage: Stage) -> dict[str, Any]:
    """Return what a package would deploy, by function name, in the shape of `_deployed`."""
    digest = base64.b64encode(hashlib.sha256((folder / "deployment.zip").read_bytes()).digest()).decode()
    resources = json.loads((folder / "sam.json").read_text(encoding="utf-8"))["Resources"]
    found, functions = {}, {chalice_names.logical_id(each): name for name, each in _functions(stage).items()}
    for logical_id, resource in resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            properties = resource["Properties"]
            role = resources[properties["Role"]["Fn::GetAtt"][0]]["Properties"]
            found[functions.get(logical_id, logical_id)] = {
                "code": digest,
                "handler": properties["Handler"],
                "runtime": properties["Runtime"],
                "environment": properties["Environment"]["Variables"],
                "timeout": properties["Timeout"],
                "memory": properties["MemorySize"],
                "tracing": properties.get("Tracing", "PassThrough"),
                "reserved": properties.get("ReservedConcurrentExecutions"),
                "policy": role["Policies"][0]["PolicyDocument"],
            }
    return found


def _deployed(clients: Clients, stage: Stage) -> dict[str, Any]:
    """Return everything that a deployment may change about the deployed functions, by function name."""
    client, found = clients("lambda"), {}
    for name, function in _functions(stage).items():
        try:
            config = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        role = chalice_names.role(stage.names, function)
        found[name] = {
            "code": config["CodeSha256"],
            "handler": config["Handler"],
            "runtime": config["Runtime"],
            "environment": config["Environment"]["Variables"],
            "timeout": config["Timeout"],
            "memory": config["MemorySize"],
            "tracing": (config.get("TracingConfig") or {}).get("Mode", "PassThrough"),
            "reserved": client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
            "policy": roles.inline_policy(clients("iam"), role, role),
        }
    return found


def ensure_no_retries(client: Any, name: str) -> StepResult:
    """Stop Lambda from invoking a function again that has failed."""
    try:
        found = client.get_function_event_invoke_config(FunctionName=name).get("MaximumRetryAttempts")
    except client.exceptions.ResourceNotFoundException:
        found = None
    if found == 0:
        return StepResult.UNCHANGED
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    return StepResult.CREATED if found is None else StepResult.CHANGED


def remove(clients: Clients, stage: Stage) -> bool:
    """Remove the API, the schedule, the functions and their roles; return whether any existed."""
    names, description = stage.names, stage.description
    found = [api.remove(clients("apigateway"), stage)] if description.has_api else []
    found += [
        _remove_rule(clients("events"), chalice_names.schedule_rule(names, each)) for each in description.scheduled
    ]
    for name, function in _functions(stage).items():
        found.append(_remove_function(clients("lambda"), name))
        found.append(roles.remove(clients("iam"), chalice_names.role(names, function)))
    stage.deployed.unlink(missing_ok=True)
    return any(found)


def _remove_rule(client: Any, rule: str) -> bool:
    try:
        targets = client.list_targets_by_rule(Rule=rule)["Targets"]
        if targets:
            client.remove_targets(Rule=rule, Ids=[target["Id"] for target in targets])
        client.delete_rule(Name=rule)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True


def _remove_function(client: Any, name: str) -> bool:
    try:
        client.delete_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True
