"""Upgrade results of older minor versions of the schema as they are read. Nothing else knows old forms.

    1.0 → 1.1   fields were added: looks, conditions of a slice, the take
    1.1 → 1.2   `backend` became `arm` where it holds one; kind and emulated of an arm, `set_aside`, `notes`
                and `ended_because` became fields
    1.2 → 1.3   fields were added: how a plan and a verdict form pairs; nothing is to be changed

What 1.2 has as a field, older versions had in names and texts only, in the forms below, which are fixed.
All functions take decoded JSON (or a Parquet table) of any minor version; what is of this one stays as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from bench.model import SCHEMA_VERSION, EndedBecause, Kind, Run, SetAside

Document = dict[str, Any]

_ENDED = "ended: "
_ENDINGS: tuple[tuple[str, EndedBecause], ...] = (
    ("all that decides a claim is decided", "decided"),
    ("nothing that can still be measured is open", "nothing left"),
    ("the last session of the plan was measured", "last session"),
    ("the time budget of ", "budget"),
    ("interrupted ", "interrupted"),
)
"""How the note of a run of schema 1.1 went on that said what ended it."""

_PRESSURE = "taken under pressure"
"""How the reason of a sample began whose slice was repeated."""

_OLD_COLUMNS = {"run", "session", "block", "scenario", "backend", "metric", "value", "valid", "reason"}

_EMULATED = (
    "emulated CPU (TCG): speaks of this backend only, excluded from claims about virtual machines in general"
)
"""The note of a verdict about an emulated machine."""


_FORMS = [1, 2]
"""The version since which fields were only added."""


def is_old(run: Document) -> bool:
    """Whether a run is of a version whose forms changed since. Raises ValueError for one that is not one."""
    return _numbers(run["schema"]) < _FORMS


def run(document: Document) -> Run:
    """`run.json`, or the run in a line of the journal. Raises msgspec.ValidationError."""
    try:
        return msgspec.convert(_run(document) if is_old(document) else document, Run)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise msgspec.ValidationError(f"no run of a schema up to {SCHEMA_VERSION}: {error!r}") from error


def _run(document: Document) -> Document:
    notes = document.get("notes", [])
    endings = [note.removeprefix(_ENDED) for note in notes if note.startswith(_ENDED)]
    plan = document["plan"]
    return document | {
        "schema": SCHEMA_VERSION,
        "plan": plan | {"arms": [_arm(arm, _baseline(plan)) for arm in plan["arms"]]},
        "backends": [_backend(info) for info in document["backends"]],
        "not_measured": [renamed(gap) for gap in document["not_measured"]],
        "notes": [note for note in notes if not note.startswith(_ENDED)],
        "ended_because": _because(endings, document["status"]),
    }


def line(document: Document) -> Document:
    """Upgrade a journal line of an older run; not a line that holds the run itself."""
    if document["type"] == "step":
        return document | {"samples": [_sample(row) for row in document["samples"]]}
    if document["type"] == "missing":
        return document | {"missing": renamed(document["missing"])}
    return document


def is_obsolete(document: Document) -> bool:
    """Whether a line of the journal is a note that became a field."""
    return document["type"] == "note" and str(document["text"]).startswith(_ENDED)


def verdict(row: Document) -> Document:
    """A row of `verdicts.json`."""
    if "arm" in row:
        return row
    row = renamed(row)
    parts = str(row.pop("reason", "")).split("; ")
    kept = "; ".join(part for part in parts if part != _EMULATED)
    return row | {"notes": [kept] if kept else [], "emulated": _EMULATED in parts}


def samples(table: pa.Table) -> pa.Table:
    """The table of `samples.parquet`; what is not one of an older version stays as it is.

    Columns that it lacks are added by the reader, null.
    """
    if not _OLD_COLUMNS.issubset(table.column_names):
        return table
    table = table.rename_columns(["arm" if name == "backend" else name for name in table.column_names])
    under_pressure = pc.starts_with(table["reason"], _PRESSURE)
    has_value = pc.fill_null(pc.is_finite(table["value"]), False)
    kind = pc.if_else(under_pressure, "pressure", pc.if_else(has_value, "rejected", "failed"))
    return table.append_column("set_aside", pc.if_else(table["valid"], "", kind))


def renamed(row: Document) -> Document:
    """A row whose arm was called its backend."""
    return {"arm" if key == "backend" else key: value for key, value in row.items()}


def _sample(row: Document) -> Document:
    kind: SetAside = ""
    if not row.get("valid", True):
        pressed = str(row.get("reason", "")).startswith(_PRESSURE)
        kind = "pressure" if pressed else "failed" if row["value"] is None else "rejected"
    return renamed(row) | {"set_aside": kind}


def _because(endings: list[str], status: str) -> EndedBecause | None:
    """The last note counts: a run that was interrupted and went on has several."""
    if endings:
        return next((because for begin, because in _ENDINGS if endings[-1].startswith(begin)), None)
    return "interrupted" if status == "interrupted" else None


def _baseline(plan: Document) -> str:
    return next((str(arm["name"]) for arm in plan["arms"] if arm["role"] == "baseline"), "host")


def _arm(arm: Document, baseline: str) -> Document:
    """The plan's arm with what its names said; before 1.1 the only control was the baseline's copy."""
    kind = _kind(arm["backend"])
    found = arm | {"kind": kind, "emulated": kind == "vm" and "tcg" in arm["name"].split("-")}
    return found | {"twin_of": arm.get("twin_of") or baseline} if arm["role"] == "control" else found


def _backend(info: Document) -> Document:
    return info | {"kind": _kind(info["name"])}


def _kind(name: str) -> Kind:
    if name in ("host", "again"):
        return "host"
    return "vm" if name.partition("-")[0] == "vm" else "container"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
