"""`nnd` that holds each request and answer to its own OpenAPI document.

    python -m tests.runtime.checked_nnd FILE NND-FLAGS…

What does not conform becomes a line of FILE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator

from runtime.api.http.openapi import document, plain_path
from runtime.api.http.routing import Route, routes_of
from runtime.api.nnd import main
from runtime.api.routes import route_modules


class Conformance:
    """The observer. It knows the document's schemas and writes down what does not fit them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.document = document(routes_of(route_modules()))
        self._validators: dict[str, Draft202012Validator] = {}

    def __call__(
        self, request: web.BaseRequest, route: Route, data: bytes, response: web.StreamResponse
    ) -> None:
        operation = self.document["paths"][plain_path(route.path)][route.method.lower()]
        where = f"{route.method} {request.path_qs}"
        if data.strip() and response.status < 400:
            # Null in a request is the same as nothing, in Docker's API.
            self._check(f"body of {where}", operation["requestBody"], _without_nulls(json.loads(data)))
        known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        if route.status < 400 and (unknown := request.query.keys() - known - IGNORED):
            self._note(f"query of {where}: {sorted(unknown)} are not described")
        answers = operation["responses"]
        if response.status < 400 and str(response.status) not in answers:
            self._note(f"status of {where}: {response.status} is not described")
        described = answers.get(str(response.status), answers["default"])
        if isinstance(response, web.Response) and response.body and "json" in response.content_type:
            body = response.body
            assert isinstance(body, bytes)
            self._check(f"answer {response.status} of {where}", described, json.loads(body))

    def _check(self, what: str, described: dict[str, Any], document: Any) -> None:
        schema = described.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            self._note(f"{what}: JSON is not described")
            return
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(
                {**schema, "components": self.document["components"]}
            )
        for error in self._validators[key].iter_errors(document):
            self._note(f"{what}: {error.json_path}: {error.message[:300]}")

    def _note(self, line: str) -> None:
        with self.file.open("a") as file:
            file.write(f"{line}\n")


IGNORED = {"trunc_cmd"}
"""Query parameters that clients send and that mean nothing here."""


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], observer=Conformance(Path(sys.argv[1]))))
