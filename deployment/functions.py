"""The Lambdas, the API and the schedule: Chalice's part, `chalice deploy`."""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from chalicelib.settings import Names
from deployment import api, naming, roles
from deployment.clients import Clients
from deployment.stage import Stage
from deployment.steps import Done

_CHALICE = "import sys; from chalice.cli import main; sys.exit(main())"


class ChaliceFailed(Exception):
    """`chalice deploy` did not succeed; the message is what it printed last."""


def ensure(clients: Clients, stage: Stage) -> Done:
    """Run `chalice deploy` and tell what it changed of the functions."""
    before = _deployed(clients, stage.names)
    api.adopt(clients("apigateway"), stage)
    _chalice(stage, "deploy", "--stage", stage.name)
    if not before:
        return Done.CREATED
    return Done.UNCHANGED if _deployed(clients, stage.names) == before else Done.CHANGED


def compare(clients: Clients, stage: Stage) -> Done:
    """Tell what `chalice deploy` would change of the functions: it packages them, and uploads nothing."""
    deployed = _deployed(clients, stage.names)
    if len(deployed) < len(naming.FUNCTIONS):
        return Done.CHANGED if deployed else Done.CREATED
    with tempfile.TemporaryDirectory() as folder:
        _chalice(stage, "package", "--stage", stage.name, folder)
        wanted = _packaged(Path(folder), stage.names)
    return Done.UNCHANGED if wanted == deployed else Done.CHANGED


def _chalice(stage: Stage, *arguments: str) -> None:
    command = [sys.executable, "-c", _CHALICE, *arguments]
    finished = subprocess.run(command, cwd=stage.project, capture_output=True, text=True, check=False)
    if finished.returncode:
        last = "\n".join((finished.stdout + finished.stderr).strip().splitlines()[-15:])
        raise ChaliceFailed(
            f"chalice {arguments[0]} for stage {stage.name} failed:\n{last}\n"
            "What is done stays. Mend what it says, then run the same command again."
        )


def _packaged(folder: Path, names: Names) -> dict[str, Any]:
    """Return what a package would deploy, by function name, in the shape of `_deployed`."""
    digest = base64.b64encode(hashlib.sha256((folder / "deployment.zip").read_bytes()).digest()).decode()
    resources = json.loads((folder / "sam.json").read_text(encoding="utf-8"))["Resources"]
    found = {}
    for logical, resource in resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            it = resource["Properties"]
            role = resources[it["Role"]["Fn::GetAtt"][0]]["Properties"]
            name = names.function(_FUNCTION_OF.get(logical, "")).rstrip("-")
            found[name] = {
                "code": digest,
                "environment": it["Environment"]["Variables"],
                "timeout": it["Timeout"],
                "memory": it["MemorySize"],
                "tracing": it.get("Tracing", "PassThrough"),
                "reserved": it.get("ReservedConcurrentExecutions"),
                "policy": role["Policies"][0]["PolicyDocument"],
            }
    return found


_FUNCTION_OF = {naming.logical(name): name for name in naming.FUNCTIONS}


def _deployed(clients: Clients, names: Names) -> dict[str, Any]:
    """Return what is deployed now, by function name: all that a deployment may change of it."""
    client, found = clients("lambda"), {}
    for name, function in naming.functions(names).items():
        try:
            it = client.get_function_configuration(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        role = naming.role(names, function)
        found[name] = {
            "code": it["CodeSha256"],
            "environment": it["Environment"]["Variables"],
            "timeout": it["Timeout"],
            "memory": it["MemorySize"],
            "tracing": (it.get("TracingConfig") or {}).get("Mode", "PassThrough"),
            "reserved": client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions"),
            "policy": roles.policy(clients("iam"), role, role),
        }
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


def remove(clients: Clients, stage: Stage) -> bool:
    """Remove the API, the schedule, the functions and their roles; return whether there was anything."""
    names = stage.names
    found = [api.remove(clients("apigateway"), stage), _remove_rule(clients("events"), names)]
    for name, function in naming.functions(names).items():
        found.append(_remove_function(clients("lambda"), name))
        found.append(roles.remove(clients("iam"), naming.role(names, function)))
    stage.deployed.unlink(missing_ok=True)
    return any(found)


def _remove_rule(client: Any, names: Names) -> bool:
    rule = naming.schedule_rule(names)
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


def rest_api(project: Path, stage: str) -> dict[str, str]:
    """Return what Chalice noted of the API that it deployed: `rest_api_id` and `rest_api_url`."""
    file = project / ".chalice" / "deployed" / f"{stage}.json"
    resources = json.loads(file.read_text(encoding="utf-8"))["resources"]
    found: dict[str, str] = next(each for each in resources if each["resource_type"] == "rest_api")
    return found
