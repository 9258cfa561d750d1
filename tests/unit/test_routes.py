"""The table of routes, and what follows from it."""

import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app
from chalicelib.api import openapi, routes
from chalicelib.models import Outcome

ROOT = Path(__file__).parents[2]


def test_chalice_serves_exactly_these_routes():
    """With the authorizer wherever a role is needed."""
    served = {
        (method, path, bool(entry.authorizer))
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
    }
    assert served == {(route.method, route.path, route.role is not None) for route in routes.ALL}


def test_the_document_is_valid():
    """By the rules of OpenAPI 3.1."""
    assert list(OpenAPIV31SpecValidator(openapi.document()).iter_errors()) == []


def test_the_document_in_docs_is_the_one_that_is_served():
    """`make openapi` writes it anew."""
    assert json.loads((ROOT / "docs" / "openapi.json").read_text()) == json.loads(json.dumps(openapi.document()))


@pytest.mark.parametrize("route", routes.ALL, ids=lambda route: route.name)
def test_each_route_describes_what_it_accepts_and_refuses(route):
    """Parameters, body, success and refusals come from the types."""
    described = openapi.document()["paths"][route.path][route.method.lower()]
    names = {each["name"] for each in described["parameters"] if each["in"] == "path"}
    assert names == set(route.parameters)
    assert ("requestBody" in described) == (route.body is not None)
    assert str(route.status) in described["responses"]
    assert ("401" in described["responses"]) == ("403" in described["responses"]) == (route.role is not None)
    assert ("404" in described["responses"]) == bool(route.parameters)


def test_every_outcome_is_documented():
    """As a value of a run's communications, and as a filter for them."""
    assert set(openapi.document()["components"]["schemas"]["Outcome"]["enum"]) == set(Outcome)
