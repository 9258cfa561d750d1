"""The embedded AWS serves deployed REST APIs as API Gateway does, with its limits, its words and its authorizers."""

import base64
import json

import pytest
import requests

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def call(small):
    """Call the deployed API."""
    api_id = small.client("apigateway").get_rest_apis()["items"][0]["id"]

    def call(path, method="GET", **options):
        return requests.request(method, small.aws.api_url(api_id) + path, timeout=30, **options)

    call.api_id = api_id
    return call


def test_the_root_route_is_served(call):
    """A call reaches the deployed handler and its answer comes back."""
    reply = call("/")
    assert (reply.status_code, reply.json()) == (200, {"ok": True})


def test_the_event_is_that_of_api_gateway(call):
    """The function gets a proxy event of format 1.0, path parameters still URL-encoded."""
    reply = call("/echo/a%2Fb/c%20d?x=1&x=2&y=", "POST", data="höhö", headers={"Content-Type": "text/plain"})
    event = reply.json()["event"]
    context = event["requestContext"]
    assert event["resource"] == context["resourcePath"] == "/echo/{first}/{second}"
    assert event["path"] == "/echo/a%2Fb/c%20d"
    assert event["httpMethod"] == context["httpMethod"] == "POST"
    assert event["pathParameters"] == {"first": "a%2Fb", "second": "c%20d"}
    assert event["queryStringParameters"] == {"x": "2", "y": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "y": [""]}
    assert event["headers"]["Content-Type"] == "text/plain"
    assert event["multiValueHeaders"]["Content-Type"] == ["text/plain"]
    assert (event["body"], event["isBase64Encoded"]) == ("höhö", False)
    assert (context["stage"], context["apiId"]) == ("api", call.api_id)
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["requestId"]
    assert "authorizer" not in context


def test_what_is_not_there_is_null(call):
    """Without query and body the event holds null for them, not something empty."""
    event = call("/echo/a/b").json()["event"]
    missing = ("queryStringParameters", "multiValueQueryStringParameters", "body", "stageVariables")
    assert [event[name] for name in missing] == [None] * 4


def test_binary_bodies_travel_as_base64(call):
    """A body of a binary type reaches the function as base64; one that it answers with reaches the client as bytes."""
    event = call("/upload", "POST", data=b"\x00\xff", headers={"Content-Type": "application/zip"}).json()["event"]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\x00\xff"
    assert call("/do/zip", headers={"Accept": "application/zip"}).content == b"\x00\xff"


def test_the_answer_is_the_functions(call):
    """Status, headers and body are those that the function gave, headers with several values included."""
    reply = call("/do/text")
    assert (reply.status_code, reply.text, reply.headers["Content-Type"]) == (418, "plain", "text/plain")
    headers = call("/echo/a/b").raw.headers
    assert headers.getlist("X-Two") == ["a", "b"]
    assert headers.getlist("X-One") == ["c"]


@pytest.mark.parametrize(("path", "expected"), [("/echo/fixed/x", {"fixed": "x"}), ("/echo/fixed/x/", {"fixed": "x"})])
def test_a_fixed_segment_goes_before_a_variable_one(call, path, expected):
    """The most specific route is taken, a slash at the end does not matter."""
    assert call(path).json() == expected


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("DELETE", "/"), ("GET", "/echo/a"), ("GET", "/things//"), ("GET", "//")]
)
def test_an_unknown_route_is_refused_in_amazons_words(call, method, path):
    """API Gateway knows no 404: a path or method without a route is missing its authentication token."""
    reply = call(path, method)
    assert (reply.status_code, reply.json()) == (403, {"message": "Missing Authentication Token"})


def test_an_unknown_api_or_stage_is_forbidden(call, small):
    """What was never deployed is forbidden."""
    for url in (small.aws.api_url("nobody") + "/", small.aws.api_url(call.api_id, "prod") + "/"):
        reply = requests.get(url, timeout=30)
        assert (reply.status_code, reply.json()) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize("size", [10 * MEGABYTE + 1, 7 * MEGABYTE])
def test_too_large_a_body_is_refused(call, size):
    """Ten megabytes are API Gateway's limit, and six are Lambda's."""
    reply = call("/echo/a/b", "POST", data=b"x" * size, headers={"Content-Type": "text/plain"})
    assert (reply.status_code, reply.json()) == (413, {"message": "Request Too Long"})


def test_a_function_that_takes_too_long_times_out(call, small):
    """After its limit (29 seconds on AWS) API Gateway answers 504 and no longer waits."""
    small.timings.integration = 0.3
    reply = call("/do/sleep")
    small.timings.integration = 29
    assert (reply.status_code, reply.json()) == (504, {"message": "Endpoint request timed out"})


@pytest.mark.parametrize("what", ["exit", "malformed"])
def test_a_function_that_fails_is_a_bad_gateway(call, what):
    """A function that dies, or answers with no valid status, is a 502."""
    reply = call(f"/do/{what}")
    assert (reply.status_code, reply.json()) == (502, {"message": "Internal server error"})


def test_a_throttled_function_is_an_internal_error(call, small):
    """Lambda's 429 reaches the client as API Gateway's 500."""
    client = small.client("lambda")
    client.put_function_concurrency(FunctionName="small-dev", ReservedConcurrentExecutions=0)
    reply = call("/")
    client.delete_function_concurrency(FunctionName="small-dev")
    assert (reply.status_code, reply.json()) == (500, {"message": "Internal server error"})


def test_the_authorizers_policy_and_context_count(call):
    """A token that the policy allows gets through, and the function finds the authorizer's context, all strings."""
    reply = call("/things/1", headers={"Authorization": "all"})
    assert reply.json() == {"thing": "1", "authorizer": {"principalId": "all", "level": "7", "admin": "true"}}


@pytest.mark.parametrize(
    ("token", "status", "body"),
    [
        (None, 401, {"message": "Unauthorized"}),
        ("unknown", 401, {"message": "Unauthorized"}),
        ("stranger", 403, {"Message": "User is not authorized to access this resource"}),
        ("deny", 403, {"Message": "User is not authorized to access this resource with an explicit deny"}),
        ("broken", 500, {"message": None}),
        ("nothing", 500, {"message": None}),
    ],
)
def test_who_is_not_allowed_is_refused_in_amazons_words(call, token, status, body):
    """No token, a token refused, no Allow, a Deny, an authorizer that breaks, one that answers nonsense."""
    reply = call("/things/1", headers={"Authorization": token} if token else {})
    assert (reply.status_code, reply.json()) == (status, body)


def test_the_policy_is_cached_by_token_until_its_time_is_up(call, small):
    """The authorizer is asked once for a token and its policy then judges every route, until the TTL has passed."""
    headers = {"Authorization": "things"}
    assert call("/things/1", headers=headers).status_code == 200
    assert call("/things/2", headers=headers).status_code == 200
    assert call("/others", "POST", headers=headers).status_code == 403
    small.wait_until(lambda: len(small.logged("GUARD things")) == 1, "it was not asked, or twice")
    small.clock.now += 61
    assert call("/things/1", headers=headers).status_code == 200
    small.wait_until(lambda: len(small.logged("GUARD things")) == 2, "it was not asked again")


def test_the_authorizer_is_asked_about_the_method(call, small):
    """The authorizer gets the ARN of the method that is called."""
    call("/others", "POST", headers={"Authorization": "all-others"})
    arn = f"arn:aws:execute-api:eu-west-1:123456789012:{call.api_id}/api/POST/others"
    small.wait_until(lambda: small.logged(f"GUARD all-others {arn}"), "the authorizer did not say so")


def test_an_import_is_live_after_the_deployment_only(small):
    """ImportRestApi changes nothing that is served, CreateDeployment does, and DeleteRestApi takes it all away."""
    client = small.client("apigateway")
    function = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev"
    uri = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{function}/invocations"
    integration = {"type": "aws_proxy", "uri": uri, "httpMethod": "POST"}
    operation = {"responses": {}, "x-amazon-apigateway-integration": integration}
    info = {"title": "second", "version": "1.0"}
    swagger = {"swagger": "2.0", "info": info, "paths": {"/": {"get": operation}}}
    api_id = client.import_rest_api(body=json.dumps(swagger))["id"]
    url = small.aws.api_url(api_id) + "/"
    assert requests.get(url, timeout=30).status_code == 403
    client.create_deployment(restApiId=api_id, stageName="api")
    assert requests.get(url, timeout=30).status_code == 200
    client.put_rest_api(restApiId=api_id, mode="overwrite", body=json.dumps(swagger | {"paths": {}}))
    assert requests.get(url, timeout=30).status_code == 200
    client.delete_rest_api(restApiId=api_id)
    assert requests.get(url, timeout=30).json() == {"message": "Forbidden"}
