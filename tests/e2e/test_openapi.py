"""The deployed API compared with its OpenAPI document, with requests that schemathesis generates."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chalicelib.api import openapi, routes
from chalicelib.ledger.tokens import ROLES, Token
from tests.e2e.driver import wait_for_end, wait_until

# In this order, so that the runs have ended before the failures are removed.
pytestmark = pytest.mark.usefixtures("wait_for_runs")

# For each route and role. A call takes about 20 ms in the sandbox, so all of them take a minute or two.
EXAMPLES = 6

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

ROUTES = {(route.method, route.path): route for route in routes.ALL}

schema = schemathesis.openapi.from_dict(openapi.document())


@pytest.fixture(scope="module")
def wait_for_runs(system, operator, viewer):
    """After the module, resume the schedule, give the pace back, and wait until the runs that it started have ended."""
    yield
    system.call("POST", "/schedule/resume", operator)
    system.call("DELETE", "/pace", operator)
    # Few routes start one, with at most EXAMPLES requests a role each: the newest 200 hold them all.
    for run in system.call("GET", "/runs?limit=200", viewer).json()["runs"]:
        wait_for_end(system, viewer, run["runId"])
    wait_until(lambda: not system.application.stats()["queued"], "something is still queued")


@pytest.mark.parametrize("role", [*ROLES, None])
@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_answer_conforms_to_the_openapi_document(case, role, system, tokens):
    """Without the required role it is a 401 or a 403, and it is never a 5xx."""
    headers = {"Authorization": f"Bearer {tokens[role]}"} if role else {}
    route = ROUTES[case.operation.method.upper(), case.operation.path]
    if case.method.upper() != route.method:
        # API Gateway itself answers a method that the path does not have ("Missing Authentication Token").
        assert case.call(base_url=system.api, headers=headers, timeout=60).status_code == 403
        return
    answer = case.call_and_validate(base_url=system.api, headers=headers, checks=CHECKS, timeout=60)
    if route.role is None:
        return
    # Some of the generated requests have no token, or another one.
    has_its_token = bool(role) and answer.request.headers.get("Authorization") == headers["Authorization"]
    if not has_its_token:
        assert answer.status_code == 401
    elif not Token(name="", role=role, valid_until=0).may(route.role):
        assert answer.status_code == 403
    else:
        assert answer.status_code not in (401, 403)
