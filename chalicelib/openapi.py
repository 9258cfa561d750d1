"""The OpenAPI document, made from the routes (chalicelib.doors) and the types that they take and give."""

from typing import Any

import msgspec

from chalicelib import doors
from chalicelib.doors import Door
from chalicelib.views import Problem

Json = dict[str, Any]

VERSION = "3.1.0"

_REF = "#/components/schemas/{name}"

# What we refuse, and what API Gateway refuses before us: its bodies are Amazon's (API Gateway Developer Guide,
# "Gateway response types").
_REFUSALS = {
    400: "Something given is wrong; `Message` names the field and its rule.",
    401: "No token, or one that is unknown, revoked or expired. API Gateway's own body is `{message}`.",
    403: "The token's role is too small, or this caller may not do this. API Gateway's own body is `{Message}`.",
    404: "There is nothing of this id.",
    409: "It contradicts what stands already; `Message` says what.",
    413: "The body is larger than API Gateway's 10 MB; the body of this answer is Amazon's.",
    415: "The body is not application/json.",
    504: "No answer within API Gateway's 29 seconds; the body of this answer is Amazon's. Looking again is safe.",
}
_GATEWAY = {"type": "object", "properties": {"message": {"type": "string"}, "Message": {"type": "string"}}}


def document() -> Json:
    """Return the OpenAPI 3.1 document."""
    components = _components()
    paths: dict[str, Json] = {}
    for door in doors.ALL:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door, components)
    return {
        "openapi": VERSION,
        "info": {
            "title": "comms-reprocess",
            "version": "1",
            "description": "Sends again what an application has finally failed to send: see, decide, start.",
        },
        "servers": [{"url": "/api", "description": "the stage of API Gateway; deploy.py prints the whole URL"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types() -> list[Any]:
    used = [Problem]
    for door in doors.ALL:
        used += [each for each in (door.answer, door.query, door.body, *door.also.values()) if each]
    return list(dict.fromkeys(each for each in used if isinstance(each, type)))


def _components() -> dict[str, Json]:
    _, found = msgspec.json.schema_components(_types(), ref_template=_REF)
    return {"GatewayProblem": _GATEWAY, **found}


def _operation(door: Door, components: dict[str, Json]) -> Json:
    operation: Json = {
        "operationId": door.name,
        "summary": door.summary,
        "parameters": [*map(_in_path, door.parameters), *_in_query(door, components), *_in_header(door)],
        "responses": _responses(door),
    }
    if door.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs a token of the role {door.role}."
    if door.body:
        operation["requestBody"] = {"required": False, "content": _json(_ref(door.body))}
    return operation


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(door: Door, components: dict[str, Json]) -> list[Json]:
    properties = components[door.query.__name__]["properties"] if door.query else {}
    return [
        {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: Json) -> Json:
    """Leave out null, which a URL cannot say, and which is only the default."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or value is not None}
    return {**{key: value for key, value in kept.items() if key != "anyOf"}, **kinds[0]} if kinds else kept


def _in_header(door: Door) -> list[Json]:
    if door is not doors.REPROCESS:
        return []
    text = "The same key gives the same run; with another body it is refused."
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "description": text, "schema": schema}]


def _responses(door: Door) -> Json:
    answers = {door.status: door.answer, **door.also}
    given = {str(status): _success(door, kind) for status, kind in sorted(answers.items())}
    return given | {str(status): _refusal(status) for status in sorted(_refused(door))}


def _success(door: Door, kind: Any) -> Json:
    content = {"text/csv": {"schema": {"type": "string"}}} if kind is None else _json(_ref(kind))
    return {"description": door.summary, "content": content}


def _refused(door: Door) -> set[int]:
    statuses = {400, 413, 504}
    if door.role:
        statuses |= {401, 403}
    if door.parameters:
        statuses.add(404)
    if door.conflicts:
        statuses.add(409)
    if door.method == "POST":
        statuses.add(415)
    return statuses


def _refusal(status: int) -> Json:
    either = {"anyOf": [_ref(Problem), {"$ref": _REF.format(name="GatewayProblem")}]}
    return {"description": _REFUSALS[status], "content": _json(either)}


def _ref(kind: Any) -> Json:
    return {"$ref": _REF.format(name=kind.__name__)} if isinstance(kind, type) else {"type": "object"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
