"""The HTTP API, where Chalice leaves something to do: finding it again, its limits, and its removal.

Chalice knows its API only by an id in a local file, which is not committed and which it writes at the very end. Without
the file (it was interrupted, or another checkout deployed) it would create a second API. So the id is looked up in AWS.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from deployment.aws_wait import answers, retry_until_ready
from deployment.description import NotedAddress
from deployment.stage import Stage
from deployment.steps import Missing, StepResult

# Calls a second, and in a burst, for all routes together: far more than people and scripts need, far less than an
# account has for all its APIs (10,000 a second; API Gateway Developer Guide, "Quotas").
RATE, BURST = 50.0, 100


def find(client: Any, stage: Stage) -> str | None:
    """Return the id of the stage's API: the one with the app's name whose methods call this stage's function."""
    mine = f":function:{stage.names.prefix}/invocations"
    for page in client.get_paginator("get_rest_apis").paginate():
        for each in page["items"]:
            if each["name"] == stage.app_name and mine in _methods(client, each["id"]):
                return str(each["id"])
    return None


def _methods(client: Any, api_id: str) -> str:
    pages = client.get_paginator("get_resources").paginate(restApiId=api_id, embed=["methods"])
    return json.dumps([page["items"] for page in pages], default=str)


def url(api_id: str, stage: Stage) -> str:
    """Return the URL of an API, to which a route's path is added."""
    suffix = "amazonaws.com.cn" if stage.names.location.partition == "aws-cn" else "amazonaws.com"
    return f"https://{api_id}.execute-api.{stage.names.location.region}.{suffix}/{stage.api_stage}"


def page_address(client: Any, stage: Stage) -> str | None:
    """Return where people find the page, without a slash at its end; None if there is no page, or no API yet."""
    page, api_id = stage.description.page, find(client, stage)
    return (page.url or url(api_id, stage)) if page and api_id else None


def ensure_page_address(noted: NotedAddress, address: str | None) -> StepResult:
    """Note where people find the page, for those who write mails. Missing if AWS does not list the API yet."""
    if address is None:
        raise Missing("address of the page: AWS does not list the API yet: run the same command again")
    known = noted.read()
    if known == address:
        return StepResult.UNCHANGED
    noted.write(address)
    return StepResult.CHANGED if known else StepResult.CREATED


def adopt(client: Any, stage: Stage) -> None:
    """Make the stage's API in AWS the one that Chalice knows, so that it updates that one and does not create a second.

    What Chalice noted may be out of date: another checkout may have deployed the stage again, or destroyed it.
    """
    noted = _noted(stage)
    others = [each for each in noted["resources"] if each["resource_type"] != "rest_api"]
    wanted = noted | {"resources": others + _resources(find(client, stage), stage)}
    if wanted != noted:
        stage.deployed.parent.mkdir(parents=True, exist_ok=True)
        stage.deployed.write_text(json.dumps(wanted), encoding="utf-8")


def _resources(api_id: str | None, stage: Stage) -> list[dict[str, Any]]:
    """Return an API as Chalice notes it; nothing if there is none."""
    if api_id is None:
        return []
    found = {"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api_id}
    return [found | {"rest_api_url": url(api_id, stage) + "/"}]


def _noted(stage: Stage) -> dict[str, Any]:
    if not stage.deployed.exists():
        return {"resources": [], "schema_version": "2.0", "backend": "api"}
    noted: dict[str, Any] = json.loads(stage.deployed.read_text(encoding="utf-8"))
    return noted


def ensure_limits(client: Any, stage: Stage) -> StepResult:
    """Set the API's rate limits."""
    api_id = find(client, stage)
    if api_id is None:
        raise Missing(f"limits: AWS does not list the API of stage {stage.name} yet: run the same command again")
    found = client.get_stage(restApiId=api_id, stageName=stage.api_stage).get("methodSettings", {}).get("*/*", {})
    if (found.get("throttlingRateLimit"), found.get("throttlingBurstLimit")) == (RATE, BURST):
        return StepResult.UNCHANGED
    values = {"rateLimit": RATE, "burstLimit": BURST}
    client.update_stage(
        restApiId=api_id,
        stageName=stage.api_stage,
        patchOperations=[
            {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(value)} for name, value in values.items()
        ],
    )
    return StepResult.CHANGED if found else StepResult.CREATED


def remove(client: Any, stage: Stage, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Remove the API, and any that an interrupted deployment of this stage has left; return whether one existed.

    An account may delete one API in 30 seconds (API Gateway Developer Guide, "Amazon API Gateway quotas").
    """
    found = False
    while api_id := find(client, stage):
        delete = partial(client.delete_rest_api, restApiId=api_id)
        retry_until_ready(delete, answers("TooManyRequestsException"), sleep)
        found = True
    return found
