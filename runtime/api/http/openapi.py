"""Generate the OpenAPI document from the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

from runtime.api.http import versions
from runtime.api.http.errors import ErrorBody
from runtime.api.http.routing import Raw, Route

TEMPLATE = "#/components/schemas/{name}"

_PLACEHOLDER = re.compile(r"\{(\w+)(?::.*?)?\}")
_TAR = "application/x-tar"
_JSON = "application/json"


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes."""
    described = list(routes)
    types = list(dict.fromkeys(one for route in described for one in _types(route)))
    schemas, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=TEMPLATE)
    schema_of = dict(zip(map(repr, [*types, ErrorBody]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        operation = paths.setdefault(plain_path(route.path), {})
        operation.setdefault(route.method.lower(), _operation(route, schema_of))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ninetynine: Docker's Engine API",
            "version": versions.text(versions.NEWEST),
            "description": "Every path is there with and without a version before it, such as /v1.45.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items()))},
    }


def plain_path(path: str) -> str:
    """Return a route's path in OpenAPI's form, with placeholders that have no expressions."""
    return _PLACEHOLDER.sub(r"{\1}", path)


def _types(route: Route) -> list[Any]:
    found = [one for one in (route.body, route.answer) if one is not None and one is not Raw]
    return found + [field.type for field in _parameters(route)]


class _Parameter(msgspec.Struct):
    name: str
    type: Any
    required: bool


def _parameters(route: Route) -> list[_Parameter]:
    if route.query is None:
        return []
    hints = {field.encode_name: field for field in msgspec.structs.fields(route.query)}
    return [_Parameter(name, field.type, field.required) for name, field in hints.items()]


def _operation(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", f"{route.method.lower()}{plain_path(route.path)}".removesuffix("}"))
    found: dict[str, Any] = {"operationId": name, "summary": route.summary}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PLACEHOLDER.findall(route.path)
    ]
    parameters += [_query_parameter(one, schema_of) for one in _parameters(route)]
    if parameters:
        found["parameters"] = parameters
    if route.body is Raw:
        found["requestBody"] = {"content": {_TAR: {"schema": {"type": "string", "format": "binary"}}}}
    elif route.body is not None:
        content = {_JSON: {"schema": schema_of[repr(route.body)]}}
        found["requestBody"] = {"required": not route.optional, "content": content}
    found["responses"] = _responses(route, schema_of)
    return found


def _query_parameter(one: _Parameter, schema_of: dict[str, Any]) -> dict[str, Any]:
    described = {"name": one.name, "in": "query", "required": one.required}
    info = inspect.type_info(one.type)
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    if any(isinstance(option, inspect.DictType | inspect.VarTupleType) for option in options):
        return {**described, "content": {_JSON: {"schema": schema_of[repr(one.type)]}}}
    return {**described, "schema": schema_of[repr(one.type)]}


def _responses(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary}
    if route.answer is Raw:
        if route.media:
            answer["content"] = {route.media: {}}
    elif route.answer is not None:
        answer["content"] = {route.media or _JSON: {"schema": schema_of[repr(route.answer)]}}
    failure = {"description": "What went wrong.", "content": {_JSON: {"schema": schema_of[repr(ErrorBody)]}}}
    found = {str(route.status): answer}
    for status in route.also:
        found[str(status)] = answer if status < 300 else failure
    if "304" in found:
        found["304"] = {"description": "Nothing to do."}
    return found | {"default": failure}
