"""Who may call what."""

import re
from fnmatch import fnmatch

import pytest
from chalice.app import AuthRequest, ForbiddenError, UnauthorizedError

import app
from chalicelib import times
from chalicelib.api import auth, routes
from chalicelib.ledger.tokens import ROLES, Token

ARN = "arn:aws:execute-api:eu-central-1:123456789012:abc123/api"
HOUR = 3_600_000


def ask(ledger, header):
    request = AuthRequest("TOKEN", header, f"{ARN}/GET/runs/r-1")
    return auth.authorize(request, ledger.tokens).to_dict(request)


@pytest.fixture
def answer(ledger):
    """API Gateway's answer to a token of a role."""
    return lambda role: ask(ledger, f"Bearer {ledger.tokens.add('Jo', role, HOUR)}")


def allows(answer, method, path):
    (statement,) = answer["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    return any(fnmatch(f"{ARN}/{method}{path}", resource) for resource in statement["Resource"])


@pytest.mark.parametrize(
    ("role", "may_read", "may_start"),
    [("viewer", True, False), ("operator", True, True), ("approver", True, True)],
)
def test_a_role_may_what_those_before_it_may(answer, role, may_read, may_start):
    """viewer < operator < approver."""
    assert allows(answer(role), "GET", "/runs/r-1") == may_read
    assert allows(answer(role), "POST", "/reprocess") == may_start


@pytest.mark.parametrize("door", routes.ALL, ids=lambda door: door.name)
@pytest.mark.parametrize("role", ROLES)
def test_the_policy_allows_exactly_the_doors_of_the_role(answer, role, door):
    """Role by route, as API Gateway decides it for minutes: from whatever call the policy came."""
    path = re.sub(r"{\w+}", "x-1", door.path)
    wanted = door.role is not None and Token(name="", role=role, valid_until=0).may(door.role)
    assert allows(answer(role), door.method, path) == wanted


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_allowed_that_is_not_named(answer, role):
    """The policy is cached for the caller's next calls, so it must not reach further than its routes."""
    policy = answer(role)
    assert not allows(policy, "DELETE", "/runs/r-1")
    assert not allows(policy, "POST", "/runs-of-others")
    assert not allows(policy, "GET", "/reprocess")


def test_every_route_is_open_to_somebody(answer):
    """A route that no role's policy names would answer 403 to everybody; one without an authorizer is /health alone."""
    policy = answer("approver")
    guarded = [
        (method, path)
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
        if entry.authorizer
    ]
    unguarded = [path for path, methods in app.app.routes.items() if any(not it.authorizer for it in methods.values())]
    assert unguarded == ["/health"]
    assert guarded
    assert [route for route in guarded if not allows(policy, *route)] == []


def test_the_caller_is_passed_on_to_the_handlers(answer):
    """A handler learns name, role and expiry: texts, as API Gateway wants them."""
    given = answer("operator")
    assert given["principalId"] == "Jo"
    assert given["context"]["role"] == "operator"
    assert given["context"]["validUntil"].isdecimal()


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_the_scheme_may_be_written_in_any_case(ledger, scheme):
    """A scheme is case-insensitive (RFC 9110, section 11.1)."""
    assert ask(ledger, scheme + ledger.tokens.add("Jo", "viewer", HOUR))["principalId"] == "Jo"


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
def test_a_token_that_is_nobodys_is_unauthorized(ledger, header):
    """API Gateway makes a 401 of exactly this message, and a 500 of any other."""
    ledger.tokens.add("Jo", "approver", HOUR)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask(ledger, header)


def test_a_token_without_its_scheme_is_unauthorized(ledger):
    """So that nobody gets used to sending it bare."""
    secret = ledger.tokens.add("Jo", "viewer", HOUR)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask(ledger, secret)


def test_a_token_that_has_expired_is_unauthorized(ledger, clock):
    """From the very millisecond on."""
    secret = ledger.tokens.add("Jo", "viewer", HOUR)
    clock.advance(HOUR - 1)
    assert ask(ledger, f"Bearer {secret}")
    clock.advance(1)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask(ledger, f"Bearer {secret}")


def context(role="operator", valid_for=HOUR):
    """What API Gateway hands to a handler."""
    return {"authorizer": {"principalId": "Jo", "role": role, "validUntil": str(times.now() + valid_for)}}


@pytest.mark.parametrize("needed", ROLES)
@pytest.mark.parametrize("role", ROLES)
def test_a_handler_checks_the_role_again(role, needed):
    """The policy may be cached from before."""
    if ROLES.index(role) >= ROLES.index(needed):
        assert auth.check_role(needed, context(role)) == "Jo"
        return
    with pytest.raises(ForbiddenError, match=f"this needs the role {needed}; the token has the role {role}"):
        auth.check_role(needed, context(role))


def test_a_handler_checks_the_expiry_again():
    """A cached policy outlives its token by minutes."""
    with pytest.raises(UnauthorizedError, match="the token has expired; ask for a new one"):
        auth.check_role("viewer", context(valid_for=-1))


@pytest.mark.parametrize("given", [{}, {"authorizer": None}, {"authorizer": {}}, {"authorizer": {"role": "approver"}}])
def test_without_an_authorizer_nobody_gets_in(given):
    """A route that was deployed without one stays closed."""
    with pytest.raises(UnauthorizedError):
        auth.check_role("viewer", given)


def test_every_role_is_one_that_tokens_may_have():
    """Routes are given to the roles that exist, and each role is thought of."""
    assert tuple(auth.ROUTES) == ROLES
    assert Token(name="Jo", role="approver", valid_until=0).may("viewer")
