"""The table of routes, and the OpenAPI document that follows from it."""

import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app
from chalicelib.api import openapi, routes
from chalicelib.models import Outcome

ROOT = Path(__file__).parents[2]


def test_chalice_serves_exactly_the_routes_of_the_table():
    """Routes that need a role have the authorizer."""
    served = {
        (method, path, bool(entry.authorizer))
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
    }
    assert served == {(route.method, route.path, route.role is not None) for route in routes.ALL}


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
    assert required == {"dismissCommunication", "dismissCommunications", "retryCommunications"}


def test_the_openapi_document_names_the_headers_of_answers():
    """A preview starts no run, so it has no Location."""
    paths = openapi.document()["paths"]
    responses = paths["/reprocess"]["post"]["responses"]
    assert (list(responses["202"]["headers"]), "headers" in responses["200"]) == (["Location"], False)
    assert list(paths["/communications.csv"]["get"]["responses"]["200"]["headers"]) == ["X-Next-Cursor"]


def test_the_descriptions_in_the_openapi_document_are_not_indented():
    """Markdown would show an indented paragraph as code."""
    described = openapi.document()["components"]["schemas"].values()
    assert [each["description"] for each in described if "\n    " in each.get("description", "")] == []
