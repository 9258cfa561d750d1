"""The OpenAPI document, generated from the table of routes and from the types that they accept and return."""

import inspect
from typing import Any

import msgspec

from chalicelib import __version__
from chalicelib.api import routes
from chalicelib.api.routes import Route
from chalicelib.api.schemas.base import Problem
from chalicelib.api.schemas.bulk import ONE_SELECTION, BulkSelection
from chalicelib.api.schemas.runs import StartedRun

Json = dict[str, Any]

OPENAPI_VERSION = "3.1.0"

_REF = "#/components/schemas/{name}"

_REPEAT = "It may have been done all the same: repeat a GET freely, and what starts a run with its Idempotency-Key."

# What this service refuses, and what API Gateway and Lambda answer instead of it, with Amazon's own bodies (API Gateway
# Developer Guide, "Gateway response types"; Lambda Developer Guide, "Lambda quotas" and "Handling Lambda errors with an
# API Gateway API").
_REFUSALS = {
    400: "The request is wrong; `Message` names the field and its rule.",
    401: "There is no token, or it is unknown, revoked or expired. API Gateway's own body is `{message}`.",
    403: "The token's role or another rule forbids this call. API Gateway's own body is `{Message}`.",
    404: "Nothing has this id.",
    409: "The request contradicts the current state; `Message` says how.",
    413: "The request is larger than the 6 MB that Lambda accepts. The body of this answer is Amazon's.",
    415: "The body is not application/json.",
    429: "More calls than API Gateway lets through (50 a second). The body of this answer is Amazon's.",
    500: f"This service or AWS failed. {_REPEAT} API Gateway's own body is `{{message}}`.",
    502: f"The function died, or its answer was no good. {_REPEAT} The body of this answer is Amazon's.",
    504: f"No answer within API Gateway's 29 seconds. {_REPEAT} The body of this answer is Amazon's.",
}
_GATEWAY = {"type": "object", "properties": {"message": {"type": "string"}, "Message": {"type": "string"}}}


def document() -> Json:
    """Return the OpenAPI 3.1 document."""
    components = _components()
    paths: dict[str, Json] = {}
    for route in routes.ALL:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "comms-reprocess",
            "version": __version__,
            "description": "Resends the emails, SMS and other communications that an application gave up on.",
        },
        "servers": [{"url": "/api", "description": "the stage of API Gateway; deploy.py prints the complete URL"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types() -> list[Any]:
    used = [Problem]
    for route in routes.ALL:
        used += [each for each in (route.answer, route.query, route.body, *route.also.values()) if each]
    return list(dict.fromkeys(each for each in used if isinstance(each, type)))


def _components() -> dict[str, Json]:
    _, found = msgspec.json.schema_components(_types(), ref_template=_REF)
    for kind in _types():
        if issubclass(kind, BulkSelection):
            found[kind.__name__] |= ONE_SELECTION
    for component in found.values():
        # msgspec keeps the indentation of docstrings, which Markdown would show as code.
        component["description"] = inspect.cleandoc(component["description"])
    return {"GatewayProblem": _GATEWAY, **found}


def _operation(route: Route, components: dict[str, Json]) -> Json:
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *map(_path_parameter, route.parameters),
            *_query_parameters(route, components),
            *_header_parameters(route),
        ],
        "responses": _responses(route),
    }
    if route.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs the `{route.role}` role."
    if route.body:
        operation["requestBody"] = {"required": _is_required(route.body), "content": _json(_ref(route.body))}
    return operation


def _is_required(body: type) -> bool:
    """Return whether an empty body would be refused."""
    try:
        msgspec.convert({}, body)
    except msgspec.ValidationError:
        return True
    return False


def _path_parameter(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query_parameters(route: Route, components: dict[str, Json]) -> list[Json]:
    properties = components[route.query.__name__]["properties"] if route.query else {}
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: Json) -> Json:
    """Leave out null, which a URL cannot express and which is only the default."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or value is not None}
    return {**{key: value for key, value in kept.items() if key != "anyOf"}, **kinds[0]} if kinds else kept


def _header_parameters(route: Route) -> list[Json]:
    if StartedRun not in (route.answer, *route.also.values()):
        return []
    text = "For a run: repeating the key returns the same run; with a different body the call is refused."
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "description": text, "schema": schema}]


def _responses(route: Route) -> Json:
    answers = {route.status: route.answer, **route.also}
    given = {str(status): _success(route, status, kind) for status, kind in sorted(answers.items())}
    return given | {str(status): _refusal(status) for status in sorted(_refused(route))}


def _success(route: Route, status: int, kind: Any) -> Json:
    content = {"text/csv": {"schema": {"type": "string"}}} if kind is None else _json(_ref(kind))
    answer: Json = {"description": route.summary, "content": content}
    if headers := route.headers.get(status):
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        }
    return answer


def _refused(route: Route) -> set[int]:
    statuses = {400, 413, 429, 500, 502, 504}
    if route.role:
        statuses |= {401, 403}
    if route.parameters:
        statuses.add(404)
    if route.conflicts:
        statuses.add(409)
    if route.method in ("POST", "PUT"):
        statuses.add(415)
    return statuses


def _refusal(status: int) -> Json:
    either = {"anyOf": [_ref(Problem), {"$ref": _REF.format(name="GatewayProblem")}]}
    return {"description": _REFUSALS[status], "content": _json(either)}


def _ref(kind: Any) -> Json:
    return {"$ref": _REF.format(name=kind.__name__)} if isinstance(kind, type) else {"type": "object"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
