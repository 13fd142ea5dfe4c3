"""Docker's own description of its API (moby's api/docs/v1.N.yaml) against ours: what of it is not there.

A case is an operation. It passes when ours has it with all parameters and all fields of its body and answer;
it is skipped when ours only refuses it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.api.http import versions
from runtime.api.http.openapi import document
from runtime.api.http.routing import routes_of
from runtime.api.routes import route_modules
from tests.studies.downstream.outcomes import Case, Suite

Json = dict[str, Any]


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Compare with the newest version we speak."""
    version = versions.text(versions.NEWEST)
    theirs = _read_yaml(checkout / "api" / "docs" / f"v{version}.yaml")
    ours = document(routes_of(route_modules()))
    ours["paths"] = {_plain(path): methods for path, methods in ours["paths"].items()}
    return Suite(f"Docker's description of its API, {version}", "ours", tuple(_cases(theirs, ours)))


def _read_yaml(path: Path) -> Json:
    """YAML is read by what is installed for the moment: nothing else of ours needs it."""
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", scratch, "pyyaml"]
        subprocess.run(pip, check=True)
        sys.path.insert(0, scratch)
        import yaml

        sys.path.remove(scratch)
        found: Json = yaml.load(path.read_text(), yaml.CSafeLoader)
        return found


def _plain(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _cases(theirs: Json, ours: Json) -> Iterator[Case]:
    for path, methods in sorted(theirs["paths"].items()):
        for method in methods.keys() - {"parameters"}:
            operation = methods[method]
            name = f"{method.upper()} {path}"
            mine = ours["paths"].get(_plain(path), {}).get(method)
            missing = ["no such route"] if mine is None else sorted(_missing(operation, mine, theirs, ours))
            if mine is not None and not any(status.startswith(("1", "2")) for status in mine["responses"]):
                yield Case(name, "skipped", f"refused: {mine['summary']}")
            elif missing:
                yield Case(name, "failed", ", ".join(missing))
            else:
                yield Case(name, "passed")


def _missing(operation: Json, mine: Json, theirs: Json, ours: Json) -> Iterator[str]:
    known = {one["name"] for one in mine.get("parameters", ()) if one["in"] == "query"}
    for one in operation.get("parameters", ()):
        if one["in"] == "query" and one["name"] not in known:
            yield f"?{one['name']}"
        if one["in"] == "body":
            schema = _json(mine.get("requestBody", {}))
            yield from _fields(one["schema"], schema, theirs, ours, "body") if schema else ()
    for status, answer in operation["responses"].items():
        if str(status).startswith("2") and "schema" in answer:
            schema = _json(mine["responses"].get(str(status), {}))
            yield from _fields(answer["schema"], schema, theirs, ours, "answer") if schema else ()


def _json(described: Json) -> Json:
    found: Json = described.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _fields(wanted: Json, have: Json, theirs: Json, ours: Json, where: str, deep: int = 0) -> Iterator[str]:
    """Fields of a schema that another one has not, down to eight levels."""
    there, here = _properties(wanted, theirs), _properties(have, ours)
    if not there or not here or deep > 8:
        return
    for name in there.keys() - here.keys():
        yield f"{where}.{name}"
    for name in there.keys() & here.keys():
        yield from _fields(there[name], here[name], theirs, ours, f"{where}.{name}", deep + 1)


def _properties(schema: Json, document: Json) -> Json:
    """The fields of a schema, or of what its list holds."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schemas = document.get("definitions") or document["components"]["schemas"]
        return _properties(schemas[name], document)
    found: Json = dict(schema.get("properties", {}))
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found |= _properties(part, document)
    if isinstance(schema.get("items"), dict):
        found |= _properties(schema["items"], document)
    return found
