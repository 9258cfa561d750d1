"""The routes are said once, and everything follows."""

import json
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app
from chalicelib import doors, openapi
from chalicelib.models import OUTCOMES

ROOT = Path(__file__).parents[2]


def test_chalice_serves_exactly_these_doors():
    """With the authorizer wherever a role is needed."""
    served = {
        (method, path, bool(entry.authorizer))
        for path, methods in app.app.routes.items()
        for method, entry in methods.items()
    }
    assert served == {(door.method, door.path, door.role is not None) for door in doors.ALL}


def test_the_document_is_one():
    """By the rules of OpenAPI 3.1."""
    assert list(OpenAPIV31SpecValidator(openapi.document()).iter_errors()) == []


def test_the_document_in_docs_is_the_one_that_is_served():
    """`make openapi` writes it anew."""
    assert json.loads((ROOT / "docs" / "openapi.json").read_text()) == json.loads(json.dumps(openapi.document()))


@pytest.mark.parametrize("door", doors.ALL, ids=lambda door: door.name)
def test_each_door_describes_what_it_takes_and_refuses(door):
    """Parameters, body, success and refusals come from the types."""
    described = openapi.document()["paths"][door.path][door.method.lower()]
    names = {each["name"] for each in described["parameters"] if each["in"] == "path"}
    assert names == set(door.parameters)
    assert ("requestBody" in described) == (door.body is not None)
    assert str(door.status) in described["responses"]
    assert ("401" in described["responses"]) == ("403" in described["responses"]) == (door.role is not None)
    assert ("404" in described["responses"]) == bool(door.parameters)


def test_every_outcome_may_be_asked_for():
    """The document names those that there are."""
    schema = openapi.document()["components"]["schemas"]["OutcomeView"]["properties"]["outcome"]
    assert set(schema["enum"]) == set(OUTCOMES)
