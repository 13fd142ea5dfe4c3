"""What became of each case of a suite, and the table of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One case. outcome: passed, failed or skipped; why: the last line of what it said."""

    name: str
    outcome: str
    why: str = ""


@dataclass(frozen=True)
class Suite:
    """A suite as run against one system."""

    name: str
    against: str
    cases: tuple[Case, ...]


def read_junit(path: Path) -> tuple[Case, ...]:
    """Read the cases of a JUnit file."""
    if not path.exists():
        return ()
    return tuple(_case(node) for node in ET.parse(path).getroot().iter("testcase"))


def _case(node: ET.Element) -> Case:
    name = f"{node.get('classname', '').rpartition('.')[2]}::{node.get('name', '')}"
    for kind in ("failure", "error", "skipped"):
        found = node.find(kind)
        if found is not None:
            lines = (found.get("message") or found.text or "").strip().splitlines() or [""]
            return Case(name, "skipped" if kind == "skipped" else "failed", lines[0][:160])
    return Case(name, "passed")


def table(suite: Suite) -> str:
    """Return the suite as Markdown: one line of numbers, and what did not pass."""
    counts = Counter(case.outcome for case in suite.cases)
    lines = [
        f"## {suite.name} against {suite.against}",
        "",
        f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
        f" of {len(suite.cases)}",
        "",
    ]
    rest = [case for case in suite.cases if case.outcome != "passed"]
    if rest:
        lines += ["| case | outcome | says |", "| --- | --- | --- |"]
        lines += [f"| `{one.name}` | {one.outcome} | {one.why.replace('|', '¦')} |" for one in rest]
    return "\n".join([*lines, ""])
