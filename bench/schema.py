"""The result model, and what the verbs print with `--json`, as JSON Schema, for readers in other languages.

`python -m bench.schema` writes the files below docs/schema; a test holds them to the structs.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import msgspec

from bench import output
from bench.cli.ahead import Preview
from bench.cli.doctor import Diagnosis
from bench.cli.documents import ComparisonDocument, RunDocument
from bench.cli.listing import Lists
from bench.cli.tuning import TunePlan, TuneResult
from bench.model import SCHEMA_VERSION, Run, Sample, Verdict

DIRECTORY = Path(__file__).resolve().parent.parent / "docs" / "schema"

_DOCUMENTS: dict[str, tuple[Any, str]] = {
    "run": (Run, "run.json: what was planned, where, and how it ended"),
    "sample": (Sample, "A row of samples.parquet"),
    "verdicts": (list[Verdict], "verdicts.json: one entry for each claim, metric and backend"),
    "json-run": (RunDocument, "Printed by `run`, `show` and `judge RUN` with --json"),
    "json-dry-run": (Preview, "Printed by `run --dry-run --json`"),
    "json-list": (Lists, "Printed by `list --json`; by `list WHAT --json` one of its lists"),
    "json-doctor": (Diagnosis, "Printed by `doctor --json`"),
    "json-tune": (TuneResult, "Printed by `tune --json` and `untune --json`"),
    "json-tune-show": (TunePlan, "Printed by `tune --show --json`"),
    "json-compare": (ComparisonDocument, "Printed by `compare --json`"),
}


def documents() -> dict[str, bytes]:
    """File name → content, as it has to stand below docs/schema."""
    return {f"{name}.json": _document(kind, title) for name, (kind, title) in _DOCUMENTS.items()}


def write(directory: Path = DIRECTORY) -> None:
    """Write all documents."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        output.write(directory / name, content)


def _document(kind: Any, title: str) -> bytes:
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "$comment": f"ninetynine result schema {SCHEMA_VERSION}, made by `python -m bench.schema`",
    }
    schema = _unindented(msgspec.json.schema(kind))
    return msgspec.json.format(msgspec.json.encode(head | schema), indent=2) + b"\n"


def _unindented(node: Any) -> Any:
    """Descriptions are docstrings, which Python strips of their indentation only from 3.13 on."""
    if isinstance(node, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else _unindented(value)
            for key, value in node.items()
        }
    return [_unindented(item) for item in node] if isinstance(node, list) else node


if __name__ == "__main__":
    write()
