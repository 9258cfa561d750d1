"""The table of routes, and the OpenAPI document that follows from it."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

import app
from chalicelib.api import openapi, routes
from chalicelib.api.parsing import parse_body, parse_query
from chalicelib.api.schemas.bulk import BulkDismissal, BulkRetry
from chalicelib.errors import InvalidRequest
from chalicelib.models.outcomes import Outcome

ROOT = Path(__file__).parents[2]


def test_chalice_serves_exactly_the_routes_of_the_table():
    """Routes that need a role have the authorizer. The page and its script are no part of the API, and are for all."""
    served = {
        (method, path, bool(entry.authorizer))
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
    }
    page = {("GET", "/", False), ("GET", "/assets/{name}", False)}
    assert served == page | {(route.method, route.path, route.role is not None) for route in routes.ALL}


def test_the_openapi_document_is_valid():
    """It is checked against OpenAPI 3.1."""
    assert list(OpenAPIV31SpecValidator(openapi.document()).iter_errors()) == []


def test_docs_openapi_json_is_the_document_that_is_served():
    """`make docs` regenerates it."""
    assert json.loads((ROOT / "docs" / "openapi.json").read_text()) == json.loads(json.dumps(openapi.document()))


@pytest.mark.parametrize("route", routes.ALL, ids=lambda route: route.name)
def test_the_openapi_document_describes_what_each_route_accepts_and_refuses(route):
    """Parameters, body, success and refusals follow from the types of the route."""
    described = openapi.document()["paths"][route.path][route.method.lower()]
    names = {each["name"] for each in described["parameters"] if each["in"] == "path"}
    assert names == set(route.parameters)
    assert ("requestBody" in described) == (route.body is not None)
    assert str(route.status) in described["responses"]
    assert ("401" in described["responses"]) == ("403" in described["responses"]) == (route.role is not None)
    assert ("404" in described["responses"]) == bool(route.parameters)


def test_the_openapi_document_lists_every_outcome():
    """An outcome is a value of a run's communications, and a filter for them."""
    assert set(openapi.document()["components"]["schemas"]["Outcome"]["enum"]) == set(Outcome)


def test_the_openapi_document_requires_a_body_where_an_empty_one_is_refused():
    """A run and a retry need none."""
    operations = [each for path in openapi.document()["paths"].values() for each in path.values()]
    required = {each["operationId"] for each in operations if each.get("requestBody", {}).get("required")}
    assert required == {"dismissCommunication", "dismissCommunications", "retryCommunications", "setPace"}


def test_the_openapi_document_lists_415_where_a_body_is_read():
    """Chalice refuses what is not JSON."""
    operations = [(method, each) for path in openapi.document()["paths"].values() for method, each in path.items()]
    assert {method for method, each in operations if "415" in each["responses"]} == {"post", "put"}


def test_the_openapi_document_lists_what_may_go_wrong_with_any_call():
    """API Gateway or Lambda answers so, whatever the route is."""
    for path in openapi.document()["paths"].values():
        for operation in path.values():
            assert {"413", "429", "500", "502", "504"} <= set(operation["responses"]), operation["operationId"]


def test_the_documents_give_the_limit_of_a_body_that_lambda_has():
    """API Gateway itself would accept 10 MB."""
    refusal = openapi.document()["paths"]["/reprocess"]["post"]["responses"]["413"]
    assert "6 MB" in refusal["description"]
    assert "413 above 6 MB" in " ".join((ROOT / "docs" / "api.md").read_text().split())


@pytest.mark.parametrize(
    "body",
    [
        {"ids": ["x"]},
        {"reason": "y"},
        {"reason": "y", "operation": "send.email", "cursor": "z"},
        {"ids": ["x"], "reason": None, "operation": None, "cursor": None},
        {"reason": "y", "ids": None},
        {},
        {"ids": None},
        {"ids": None, "reason": None},
        {"ids": ["x"], "reason": "y"},
        {"ids": ["x"], "operation": "send.email"},
        {"ids": ["x"], "cursor": "z"},
        {"operation": "send.email"},
        {"ids": []},
        {"ids": ["x"], "all": False},
        {"reason": "y", "all": False, "cause": None},
        {"reason": "y", "cause": "0123456789abcdef"},
        {"ids": ["x"], "cause": "0123456789abcdef"},
        {"cause": "0123456789abcdef"},
        {"all": False},
        {"all": None},
        {"all": True},
        {"all": True, "reason": None},
        {"all": True, "reason": "y"},
        {"all": True, "operation": "send.email", "ids": None, "cursor": None},
        {"all": True, "cause": "0123456789abcdef"},
        {"all": True, "cause": "0123456789ABCDEF"},
        {"all": True, "reason": "y", "operation": "send.email", "cause": "0123456789abcdef"},
        {"all": True, "reason": "y", "ids": ["x"]},
        {"all": True, "reason": "y", "cursor": "z"},
        {"all": True, "reason": "y", "startRun": True},
        {"all": True, "reason": "y", "startRun": False},
        {"reason": "y", "startRun": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [BulkRetry, BulkDismissal])
def test_the_openapi_document_accepts_exactly_the_bulk_bodies_that_the_api_accepts(kind, body):
    """Either ids, or a reason, or all that match; not several."""
    body = body | ({"note": "gone"} if kind is BulkDismissal else {})
    described = openapi.document()["components"]["schemas"][kind.__name__]
    try:
        parse_body(json.dumps(body).encode(), kind)
        accepted = True
    except InvalidRequest:
        accepted = False
    assert Draft202012Validator(described).is_valid(body) == accepted


QUERIES = [(route, name) for route in routes.ALL if route.query for name in route.query.__struct_encode_fields__]


@pytest.mark.parametrize(("route", "name"), QUERIES, ids=lambda value: getattr(value, "name", value))
def test_null_in_a_url_is_a_text_like_any_other(route, name):
    """A caller who pastes `null` as a filter must not get everything."""
    field = dict(zip(route.query.__struct_encode_fields__, route.query.__struct_fields__, strict=True))[name]
    try:
        query = parse_query({name: "null"}, route.query)
    except InvalidRequest as error:
        assert str(error).startswith(f"{name}: ")  # noqa: PT017 (either may be right)
        return
    assert getattr(query, field) == "null"


def test_the_openapi_document_names_the_headers_of_answers():
    """A preview starts no run, so it has no Location; nor does a bulk change that is made at once."""
    paths = openapi.document()["paths"]
    for path in ("/reprocess", "/communications/retry", "/communications/dismiss"):
        responses = paths[path]["post"]["responses"]
        assert (list(responses["202"]["headers"]), "headers" in responses["200"]) == (["Location"], False)
    assert list(paths["/communications.csv"]["get"]["responses"]["200"]["headers"]) == ["X-Next-Cursor"]


def test_whatever_starts_a_run_takes_an_idempotency_key():
    """Nothing else does."""
    operations = [each for path in openapi.document()["paths"].values() for each in path.values()]
    keyed = {
        each["operationId"]
        for each in operations
        if each["parameters"][-1:] and "Key" in each["parameters"][-1]["name"]
    }
    assert keyed == {"startRun", "retryCommunications", "dismissCommunications"}


def test_the_descriptions_in_the_openapi_document_are_not_indented():
    """Markdown would show an indented paragraph as code."""
    described = openapi.document()["components"]["schemas"].values()
    assert [each["description"] for each in described if "\n    " in each.get("description", "")] == []
