"""Who may call which route: the authorizer's policy, and the check that each handler makes again."""

import re
from fnmatch import fnmatch

import pytest
from chalice.app import AuthRequest, ForbiddenError, UnauthorizedError

import app
from chalicelib import times
from chalicelib.api import auth, routes
from chalicelib.ledger.tokens import ROLES, Token
from tests.fakes import HOUR

ARN = "arn:aws:execute-api:eu-central-1:123456789012:abc123/api"


def authorize(ledger, header):
    """Return the authorizer's answer to an Authorization header, as API Gateway gets it."""
    request = AuthRequest("TOKEN", header, f"{ARN}/GET/runs/r-1")
    return auth.authorize(request, ledger.tokens).to_dict(request)


@pytest.fixture
def authorize_as(ledger):
    """Return a function that gives the authorizer's answer to a new token of a role."""
    return lambda role: authorize(ledger, f"Bearer {ledger.tokens.add('Jo', role, HOUR)}")


def allows(answer, method, path):
    """Whether the policy in an authorizer's answer allows a call."""
    (statement,) = answer["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    return any(fnmatch(f"{ARN}/{method}{path}", resource) for resource in statement["Resource"])


@pytest.mark.parametrize(
    ("role", "may_read", "may_start"),
    [("viewer", True, False), ("operator", True, True), ("approver", True, True)],
)
def test_each_role_includes_the_roles_before_it(authorize_as, role, may_read, may_start):
    """The order is viewer, operator, approver."""
    assert allows(authorize_as(role), "GET", "/runs/r-1") == may_read
    assert allows(authorize_as(role), "POST", "/reprocess") == may_start


@pytest.mark.parametrize("route", routes.ALL, ids=lambda route: route.name)
@pytest.mark.parametrize("role", ROLES)
def test_the_policy_allows_exactly_the_routes_of_the_role(authorize_as, role, route):
    """API Gateway caches it and applies it to other calls, so it must not depend on the route that was called."""
    path = re.sub(r"{\w+}", "x-1", route.path)
    expected = route.role is not None and Token(name="", role=role, valid_until=0).may(route.role)
    assert allows(authorize_as(role), route.method, path) == expected


@pytest.mark.parametrize("role", ROLES)
def test_the_policy_allows_no_other_method_and_no_similar_path(authorize_as, role):
    """It is cached for the caller's next calls, so its wildcards must not reach further than the routes."""
    policy = authorize_as(role)
    assert not allows(policy, "DELETE", "/runs/r-1")
    assert not allows(policy, "POST", "/runs-of-others")
    assert not allows(policy, "GET", "/reprocess")


def test_an_approver_may_call_every_route_and_only_health_needs_no_token(authorize_as):
    """A route that no role's policy names would answer 403 to everybody."""
    policy = authorize_as("approver")
    guarded = [
        (method, path)
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
        if entry.authorizer
    ]
    unguarded = [
        path for path, methods in app.app.routes.items() if not all(entry.authorizer for entry in methods.values())
    ]
    assert unguarded == ["/health"]
    assert guarded
    assert [route for route in guarded if not allows(policy, *route)] == []


def test_the_authorizer_passes_name_role_and_expiry_to_the_handlers(authorize_as):
    """All of them are strings, as API Gateway requires."""
    answer = authorize_as("operator")
    assert answer["principalId"] == "Jo"
    assert answer["context"]["role"] == "operator"
    assert answer["context"]["validUntil"].isdecimal()


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_the_bearer_scheme_is_case_insensitive(ledger, scheme):
    """RFC 9110, section 11.1, says so of every scheme."""
    assert authorize(ledger, scheme + ledger.tokens.add("Jo", "viewer", HOUR))["principalId"] == "Jo"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer unknown",
        "Basic am86cGFzcw==",
        "unknown",
        "Bearer \0",
        "Bearer ä🙂",
        "Bearer \ud800",
    ],
)
def test_an_unknown_or_malformed_token_is_unauthorized(ledger, header):
    """API Gateway turns exactly this message into a 401, and any other into a 500."""
    ledger.tokens.add("Jo", "approver", HOUR)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(ledger, header)


def test_a_valid_token_without_the_bearer_scheme_is_unauthorized(ledger):
    """Otherwise callers would get used to leaving the scheme out."""
    secret = ledger.tokens.add("Jo", "viewer", HOUR)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(ledger, secret)


def test_an_expired_token_is_unauthorized(ledger, clock):
    """It is valid until the last millisecond before its expiry."""
    secret = ledger.tokens.add("Jo", "viewer", HOUR)
    clock.advance(HOUR - 1)
    assert authorize(ledger, f"Bearer {secret}")
    clock.advance(1)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(ledger, f"Bearer {secret}")


def context(role="operator", valid_for=HOUR):
    """Return the context of a request, as API Gateway passes it to a handler."""
    return {"authorizer": {"principalId": "Jo", "role": role, "validUntil": str(times.now() + valid_for)}}


@pytest.mark.parametrize("required", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_a_handler_refuses_a_caller_whose_role_does_not_include_the_required_role(role, required):
    """The policy that let the call through may be an old one from API Gateway's cache."""
    if ROLES.index(role) >= ROLES.index(required):
        assert auth.check_role(required, context(role)) == "Jo"
        return
    with pytest.raises(ForbiddenError, match=f"this needs the role {required}; the token has the role {role}"):
        auth.check_role(required, context(role))


def test_a_handler_refuses_an_expired_token():
    """API Gateway's cached policy outlives the token by minutes."""
    with pytest.raises(UnauthorizedError, match="the token has expired; ask for a new one"):
        auth.check_role("viewer", context(valid_for=-1))


@pytest.mark.parametrize(
    "request_context", [{}, {"authorizer": None}, {"authorizer": {}}, {"authorizer": {"role": "approver"}}]
)
def test_a_handler_refuses_a_call_without_an_authorizers_context(request_context):
    """A route that was deployed without its authorizer stays closed."""
    with pytest.raises(UnauthorizedError):
        auth.check_role("viewer", request_context)


def test_routes_are_assigned_to_exactly_the_roles_that_a_token_may_have():
    """A role without routes, or routes of an unknown role, would be a mistake in the table."""
    assert tuple(auth.ROUTES) == ROLES
    assert Token(name="Jo", role="approver", valid_until=0).may("viewer")
