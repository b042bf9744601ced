"""The description of the JSON routes (OpenAPI), with who may call each and how it refuses.

Which keys open a route is read from the door it declares, so that the description cannot say otherwise.
"""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from signalpost.domain.access import OPENS, Scope
from signalpost.web.doorkeeper import Door, routes_of

_TEXT = {"type": "string"}
_MAYBE = {"anyOf": [_TEXT, {"type": "null"}]}
_PROBLEM = {
    "type": "object",
    "description": "What is wrong, and what to do (RFC 9457).",
    "required": ["status", "title", "detail", "where", "code", "message"],
    "properties": {
        "status": {"type": "integer"},
        "title": _TEXT,
        "detail": _TEXT,
        "where": _MAYBE,
        "code": _TEXT,
        "message": _TEXT,
    },
}
#: How any route may refuse, whatever it is about.
_ALWAYS = (400, 408, 413, 421, 422, 429, 431, 500, 503)
_WHEN_KEYED = (401, 403)
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: spk_<id>_<secret>."},
    "inboxToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token for one person's inbox, from POST /v1/inbox/tokens.",
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Describe the routes of an application that are JSON."""
    described = get_openapi(title=app.title, version=app.version, routes=app.routes)
    parts = described.setdefault("components", {})
    parts["securitySchemes"] = _SCHEMES
    parts.setdefault("schemas", {})["Problem"] = _PROBLEM
    doors = {
        (route.path, method.lower()): route.door
        for route in routes_of(app)
        for method in route.methods
    }
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            _complete(operation, path, doors[path, method])
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    return described


def _complete(operation: dict[str, Any], path: str, door: Door | None) -> None:
    """Add to an operation who may call it, and how it refuses."""
    statuses = [*_ALWAYS, *_WHEN_KEYED]
    if "{" in path or "requestBody" in operation or door is None or door.area is None:
        statuses += [404, 409]
    for status in statuses:
        operation["responses"][str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": _reference("Problem")}},
        }
    if door is not None and door.area is not None:
        scopes = ", ".join(sorted({*OPENS[door.area], Scope.ADMIN}))
        said = operation.get("description", "")
        operation["description"] = f"{said}\n\nFor keys with one of the scopes: {scopes}.".strip()
        operation["security"] = [{"key": []}]
    else:
        operation["security"] = [{"inboxToken": []}]


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
