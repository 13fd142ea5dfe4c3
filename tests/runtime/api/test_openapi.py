from __future__ import annotations

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator

from runtime.api.http.openapi import document, plain_path
from runtime.api.http.routing import routes_of
from runtime.api.routes import route_modules
from tests.paths import DOCS
from tests.runtime.api.serving import Served, with_api

ROUTES = routes_of(route_modules())
DOCUMENT = document(ROUTES)
PAGE = DOCS / "api.md"


def test_every_route_is_described_and_every_schema_is_one():
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names)) == len({(route.method, route.path) for route in ROUTES})
    assert all(one["summary"] for one in operations)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(DOCUMENT)))
    assert refs <= DOCUMENT["components"]["schemas"].keys()


def test_the_daemon_serves_it(tmp_path: Path):
    async def body(api: Served) -> None:
        status, _, data = await api.ask("GET", "/v1.45/openapi.json")
        assert status == 200
        assert json.loads(data) == json.loads(json.dumps(DOCUMENT))

    with_api(tmp_path, body)


def test_the_docs_list_every_route():
    text = PAGE.read_text()
    missing = [one.path for one in ROUTES if f"`{one.method} {plain_path(one.path)}`" not in text]
    assert not missing, "docs/api.md says nothing of these"
