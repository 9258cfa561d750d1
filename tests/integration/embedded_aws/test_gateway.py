"""The embedded AWS serves deployed REST APIs as API Gateway does, with its limits, messages and authorizers."""

import base64
import gzip
import json
import zlib

import pytest
import requests

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def call(app):
    """Calls the deployed API."""
    api_id = app.client("apigateway").get_rest_apis()["items"][0]["id"]

    def call(path, method="GET", **options):
        return requests.request(method, app.aws.api_url(api_id) + path, timeout=30, **options)

    call.api_id = api_id
    return call


def test_a_call_reaches_the_deployed_handler_and_gets_its_answer(call):
    """Here the route is the root of the API."""
    reply = call("/")
    assert (reply.status_code, reply.json()) == (200, {"ok": True})


def test_the_function_gets_the_proxy_event_of_api_gateway(call):
    """Its format is 1.0, and path parameters are still URL-encoded."""
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


def test_a_missing_query_or_body_is_null_in_the_event(call):
    """It is not an empty object or an empty text."""
    event = call("/echo/a/b").json()["event"]
    missing = ("queryStringParameters", "multiValueQueryStringParameters", "body", "stageVariables")
    assert [event[name] for name in missing] == [None] * 4


def test_binary_bodies_are_base64_in_the_event_and_bytes_in_the_response(call):
    """Whether a body is binary depends on its content type."""
    event = call("/upload", "POST", data=b"\x00\xff", headers={"Content-Type": "application/zip"}).json()["event"]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"\x00\xff"
    assert call("/do/zip", headers={"Accept": "application/zip"}).content == b"\x00\xff"


def test_the_response_has_the_functions_status_headers_and_body(call):
    """A header may have several values."""
    reply = call("/do/text")
    assert (reply.status_code, reply.text, reply.headers["Content-Type"]) == (418, "plain", "text/plain")
    headers = call("/echo/a/b").raw.headers
    assert headers.getlist("X-Two") == ["a", "b"]
    assert headers.getlist("X-One") == ["c"]


@pytest.mark.parametrize(
    ("what", "accepted", "encoding"),
    [
        ("long", "gzip, deflate, br", "gzip"),
        ("long", "deflate, gzip;q=0.9", "deflate"),
        ("long", "br, gzip;q=0.9", None),
        ("long", "gzip;q=0", None),
        ("long", "*", None),
        ("long", "", None),
        ("text", "gzip", None),
        ("encoded", "gzip", "own"),
    ],
)
def test_an_answer_is_compressed_if_it_is_long_enough_and_its_caller_prefers_that(call, what, accepted, encoding):
    """The encoding that the caller likes best must be one of API Gateway's. A function may have its own."""
    reply = call(f"/do/{what}", headers={"Accept-Encoding": accepted}, stream=True)
    body = reply.raw.read(decode_content=False)
    assert reply.headers.get("Content-Encoding") == encoding
    assert (len(body) < 100) == (encoding in ("gzip", "deflate") or what == "text")
    formats = {"gzip": 31, "deflate": 15}
    if encoding in formats:
        assert zlib.decompress(body, wbits=formats[encoding]) == b"x" * 1000
        assert reply.headers["Content-Length"] == str(len(body))


def test_an_api_without_a_minimum_compresses_nothing(call, app):
    """Chalice sets an empty text then. Like everything else, it counts from the next deployment on."""
    client = app.client("apigateway")

    def long_answer(minimum: str, *, deploy: bool) -> str | None:
        change = {"op": "replace", "path": "/minimumCompressionSize", "value": minimum}
        client.update_rest_api(restApiId=call.api_id, patchOperations=[change])
        if deploy:
            client.create_deployment(restApiId=call.api_id, stageName="api")
        return call("/do/long").headers.get("Content-Encoding")

    assert long_answer("", deploy=False) == "gzip"
    assert long_answer("", deploy=True) is None
    assert long_answer("1001", deploy=True) is None
    assert long_answer("1000", deploy=True) == "gzip"


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_compressed_body_reaches_the_function_as_it_was_before(call, encoding, encode):
    """Whether or not the API compresses its own answers."""
    headers = {"Content-Type": "text/plain", "Content-Encoding": encoding}
    reply = call("/echo/a/b", "POST", data=encode("höhö".encode()), headers=headers)
    assert reply.json()["event"]["body"] == "höhö"


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", b"x", 415),
        ("gzip", b"x", 415),
        ("gzip", gzip.compress(b"xxxxx", mtime=0)[:-9], 415),
        ("gzip", gzip.compress(b"x" * (10 * MEGABYTE + 1), mtime=0), 413),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_refused(call, encoding, body, status):
    """It is not what its header says, or longer than API Gateway accepts."""
    headers = {"Content-Type": "text/plain", "Content-Encoding": encoding}
    assert call("/echo/a/b", "POST", data=body, headers=headers).status_code == status


@pytest.mark.parametrize(("path", "expected"), [("/echo/fixed/x", {"fixed": "x"}), ("/echo/fixed/x/", {"fixed": "x"})])
def test_a_fixed_path_segment_takes_precedence_over_a_variable_one(call, path, expected):
    """A slash at the end is ignored."""
    assert call(path).json() == expected


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("DELETE", "/"), ("GET", "/echo/a"), ("GET", "/things//"), ("GET", "//")]
)
def test_an_unknown_route_is_refused_with_amazons_message(call, method, path):
    """API Gateway does not answer 404: it says that the authentication token is missing."""
    reply = call(path, method)
    assert (reply.status_code, reply.json()) == (403, {"message": "Missing Authentication Token"})


def test_an_unknown_api_or_stage_is_forbidden(call, app):
    """Neither was ever deployed."""
    for url in (app.aws.api_url("nobody") + "/", app.aws.api_url(call.api_id, "prod") + "/"):
        reply = requests.get(url, timeout=30)
        assert (reply.status_code, reply.json()) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize("size", [10 * MEGABYTE + 1, 7 * MEGABYTE])
def test_a_body_above_the_size_limit_is_refused(call, size):
    """10 MB is API Gateway's limit, and 6 MB is Lambda's."""
    reply = call("/echo/a/b", "POST", data=b"x" * size, headers={"Content-Type": "text/plain"})
    assert (reply.status_code, reply.json()) == (413, {"message": "Request Too Long"})


def test_a_function_that_takes_too_long_is_a_504(call, app):
    """On AWS, the limit is 29 seconds."""
    app.timings.integration = 0.3
    reply = call("/do/sleep")
    app.timings.integration = 29
    assert (reply.status_code, reply.json()) == (504, {"message": "Endpoint request timed out"})


@pytest.mark.parametrize("what", ["exit", "malformed"])
def test_a_function_that_dies_or_answers_nonsense_is_a_502(call, what):
    """Nonsense is an answer without a valid status."""
    reply = call(f"/do/{what}")
    assert (reply.status_code, reply.json()) == (502, {"message": "Internal server error"})


def test_a_throttled_function_is_a_500(call, app):
    """Lambda's 429 does not reach the client."""
    client = app.client("lambda")
    client.put_function_concurrency(FunctionName="small-dev", ReservedConcurrentExecutions=0)
    reply = call("/")
    client.delete_function_concurrency(FunctionName="small-dev")
    assert (reply.status_code, reply.json()) == (500, {"message": "Internal server error"})


def test_an_allowed_token_reaches_the_function_with_the_authorizers_context(call):
    """All values of the context become strings."""
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
def test_a_call_that_is_not_authorized_is_refused_with_amazons_message(call, token, status, body):
    """There is no token, a refused one, no Allow, a Deny, or an authorizer that fails or answers nonsense."""
    reply = call("/things/1", headers={"Authorization": token} if token else {})
    assert (reply.status_code, reply.json()) == (status, body)


def test_a_policy_is_cached_for_its_token_until_the_ttl_has_passed(call, app):
    """Until then it also decides about routes that were not called before."""
    headers = {"Authorization": "things"}
    assert call("/things/1", headers=headers).status_code == 200
    assert call("/things/2", headers=headers).status_code == 200
    assert call("/others", "POST", headers=headers).status_code == 403
    app.wait_until(lambda: len(app.logged("GUARD things")) == 1, "the authorizer was not called exactly once")
    app.clock.now += 61
    assert call("/things/1", headers=headers).status_code == 200
    app.wait_until(lambda: len(app.logged("GUARD things")) == 2, "the authorizer was not called again")


def test_the_authorizer_gets_the_arn_of_the_method_that_is_called(call, app):
    """It names the API, the stage, the HTTP method and the path."""
    call("/others", "POST", headers={"Authorization": "all-others"})
    arn = f"arn:aws:execute-api:eu-west-1:123456789012:{call.api_id}/api/POST/others"
    app.wait_until(lambda: app.logged(f"GUARD all-others {arn}"), "the authorizer did not get this ARN")


def test_an_imported_api_is_served_only_after_its_deployment(app):
    """ImportRestApi and PutRestApi change nothing that is served, and DeleteRestApi removes all of it."""
    client = app.client("apigateway")
    function = "arn:aws:lambda:eu-west-1:123456789012:function:small-dev"
    uri = f"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{function}/invocations"
    integration = {"type": "aws_proxy", "uri": uri, "httpMethod": "POST"}
    operation = {"responses": {}, "x-amazon-apigateway-integration": integration}
    info = {"title": "second", "version": "1.0"}
    swagger = {"swagger": "2.0", "info": info, "paths": {"/": {"get": operation}}}
    api_id = client.import_rest_api(body=json.dumps(swagger))["id"]
    url = app.aws.api_url(api_id) + "/"
    assert requests.get(url, timeout=30).status_code == 403
    client.create_deployment(restApiId=api_id, stageName="api")
    assert requests.get(url, timeout=30).status_code == 200
    client.put_rest_api(restApiId=api_id, mode="overwrite", body=json.dumps(swagger | {"paths": {}}))
    assert requests.get(url, timeout=30).status_code == 200
    client.delete_rest_api(restApiId=api_id)
    assert requests.get(url, timeout=30).json() == {"message": "Forbidden"}
