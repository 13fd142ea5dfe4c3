"""Whether a run can be used: what makes it unusable, and what only keeps its rows open."""

from __future__ import annotations

import msgspec

from bench.claims import Claims
from bench.judge import CONTROLS, judge
from bench.model import JOINT, Verdict
from bench.store import Loaded

NEGATIVE, POSITIVE = CONTROLS


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """broken: why this run cannot be used. undecidable: why no row may decide. notes: for the reader."""

    broken: str = ""
    undecidable: str = ""
    notes: tuple[str, ...] = ()


def validity_of(loaded: Loaded, claims: Claims) -> Validity:
    """Judge the controls again from the samples, since verdicts.json may be missing or older."""
    run = loaded.run
    if run.plan.profile == "smoke":
        return Validity(broken="it is a smoke run, which never gives a verdict; compare quick or full runs")
    if run.status == "failed":
        return Validity(broken="it failed; measure it again")
    if not bool(loaded.samples["valid"].any()):
        return Validity(broken="it has no valid sample; measure it again")
    rows = _controls(loaded, claims)
    failed = next((row for row in rows if row.verdict == "refuted"), None)
    if failed is not None:
        return Validity(broken=f"its control failed ({failed.claim}: {failed.reason}); measure it again")
    return Validity(undecidable=_undecidable(rows), notes=(*loaded.recovered, *_notes(loaded, rows)))


def _controls(loaded: Loaded, claims: Claims) -> list[Verdict]:
    run = loaded.run
    # Tools' own clocks decide nothing, and take a third of the time.
    claims = msgspec.structs.replace(claims, clock=msgspec.structs.replace(claims.clock, fixed_work=()))
    rows = judge(loaded.samples, claims, run.plan, run.not_measured, run.image, run.closed, run.sessions_run)
    return [row for row in rows if row.claim in CONTROLS and row.metric == JOINT]


def _undecidable(rows: list[Verdict]) -> str:
    negative = next((row for row in rows if row.claim == NEGATIVE), None)
    if negative is None or negative.verdict == "supported":
        return ""
    return f"its A/A control could not be judged ({negative.reason})"


def _notes(loaded: Loaded, rows: list[Verdict]) -> list[str]:
    run, notes = loaded.run, []
    if run.status in ("interrupted", "running"):
        there = loaded.samples[["run", "session"]].drop_duplicates().shape[0]
        notes.append(f"{loaded.directory}: {run.status}; compared with the {there} sessions it has")
    weak = next((row for row in rows if row.claim == POSITIVE and row.verdict == "inconclusive"), None)
    if weak is not None:
        notes.append(f"{loaded.directory}: {weak.reason}")
    return notes
