"""The deployed API against its own document: schemathesis asks what nobody thought of."""

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
from tests.e2e.driver import finish, wait_until

pytestmark = pytest.mark.usefixtures("tidy")

# For each route and caller; a call takes some 20 ms in the sandbox, so all of it stays within a minute or two.
EXAMPLES = 6

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

DOORS = {(door.method, door.path): door for door in routes.ALL}

schema = schemathesis.openapi.from_dict(openapi.document())


@pytest.fixture(scope="module")
def callers(system, operator, viewer, approver):
    """A valid token of each role, and none."""
    yield {"viewer": viewer, "operator": operator, "approver": approver, None: None}
    system.call("POST", "/schedule/resume", operator)
    for page in [system.call("GET", "/runs?limit=200", viewer).json()["runs"]]:
        for run in page:
            finish(system, viewer, run["runId"])
    wait_until(lambda: not system.application.stats()["queued"], "something is still queued")


@pytest.mark.parametrize("role", [*ROLES, None])
@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_answer_is_in_the_document(case, role, system, callers):
    """No 5xx, no answer that the document does not name, and without the needed role 401 or 403 and nothing else."""
    headers = {"Authorization": f"Bearer {callers[role]}"} if role else {}
    door = DOORS[case.operation.method.upper(), case.operation.path]
    if case.method.upper() != door.method:
        # API Gateway's own answer to a method that a path does not have ("Missing Authentication Token").
        assert case.call(base_url=system.api, headers=headers, timeout=60).status_code == 403
        return
    answer = case.call_and_validate(base_url=system.api, headers=headers, checks=CHECKS, timeout=60)
    if door.role is None:
        return
    # Among the cases are some without the token, or with another.
    ours = bool(role) and answer.request.headers.get("Authorization") == headers["Authorization"]
    if not ours:
        assert answer.status_code == 401
    elif not Token(name="", role=role, valid_until=0).may(door.role):
        assert answer.status_code == 403
    else:
        assert answer.status_code not in (401, 403)
