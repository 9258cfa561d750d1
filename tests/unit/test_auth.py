"""Who may call which route: the authorizer's policy, and the check that each handler makes again."""

import re
from fnmatch import fnmatch

import pytest
from chalice.app import AuthRequest, ForbiddenError, UnauthorizedError

import app
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


def test_an_approver_may_call_every_route_and_only_health_and_the_page_need_no_token(authorize_as):
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
    assert sorted(unguarded) == ["/", "/assets/{name}", "/health"]
    assert guarded
    assert [route for route in guarded if not allows(policy, *route)] == []


def test_the_authorizer_passes_name_and_role_to_the_handlers(authorize_as):
    """They compare both with the token. What has expired, the ledger tells them."""
    answer = authorize_as("operator")
    assert (answer["principalId"], answer["context"]) == ("Jo", {"role": "operator"})


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


@pytest.fixture
def check(ledger):
    """Return a function that checks a call of a new token, whose policy API Gateway may have of another."""

    def check(required, role="operator", name="Jo", policy=None, lifetime=HOUR):
        header = f"Bearer {ledger.tokens.add(name, role, lifetime)}"
        policy = {"principalId": name, "role": role} if policy is None else policy
        return auth.check_caller(required, {"authorizer": policy}, header, ledger.tokens).name

    return check


@pytest.mark.parametrize("required", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_a_handler_refuses_a_caller_whose_role_does_not_include_the_required_role(check, role, required):
    """The policy that let the call through may be an old one from API Gateway's cache."""
    if ROLES.index(role) >= ROLES.index(required):
        assert check(required, role) == "Jo"
        return
    with pytest.raises(ForbiddenError, match=f"this needs the role {required}; the token has the role {role}"):
        check(required, role)


def test_a_handler_refuses_an_expired_token(check):
    """API Gateway's cached policy outlives the token by minutes."""
    with pytest.raises(UnauthorizedError, match="the token has been revoked or has expired; ask for a new one"):
        check("viewer", lifetime=0)


@pytest.mark.parametrize("policy", [{}, {"role": "operator"}, {"principalId": "Jo"}])
def test_a_handler_refuses_a_call_without_an_authorizers_context(check, policy):
    """A route that was deployed without its authorizer stays closed."""
    with pytest.raises(UnauthorizedError):
        check("viewer", policy=policy)


def test_a_handler_refuses_a_call_without_any_context(ledger):
    """As above."""
    header = f"Bearer {ledger.tokens.add('Jo', 'viewer', HOUR)}"
    for context in ({}, {"authorizer": None}):
        with pytest.raises(UnauthorizedError):
            auth.check_caller("viewer", context, header, ledger.tokens)


@pytest.mark.parametrize(
    "policy", [{"principalId": "Ann", "role": "operator"}, {"principalId": "Jo", "role": "approver"}]
)
def test_a_handler_refuses_a_token_that_is_not_the_one_of_the_policy(check, policy):
    """Otherwise a revoked token could go on under its cached policy, beside another one that is valid."""
    with pytest.raises(UnauthorizedError, match="send one Authorization header"):
        check("viewer", policy=policy)


def test_routes_are_assigned_to_exactly_the_roles_that_a_token_may_have():
    """A role without routes, or routes of an unknown role, would be a mistake in the table."""
    assert tuple(auth.ROUTES) == ROLES
    assert Token(name="Jo", role="approver", valid_until=0).may("viewer")
