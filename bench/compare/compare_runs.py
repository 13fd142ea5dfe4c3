"""Compare two run directories: refuse, or return rows and an answer."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bench.claims import Claims
from bench.claims import load as load_claims
from bench.compare.comparability import (
    ALLOWABLE,
    CompareError,
    Difference,
    UnlikeRunsError,
    differences,
    refusing,
)
from bench.compare.drafts import Settings
from bench.compare.gate import GateResult, outcome
from bench.compare.rows import ComparedRow, rows_of
from bench.compare.sides import side
from bench.compare.validity import Validity, validity_of
from bench.model import Run
from bench.store import Loaded


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The result: rows (the worst first), the differences between the runs, notes for the reader."""

    old: Loaded
    new: Loaded
    settings: Settings
    rows: tuple[ComparedRow, ...]
    outcome: GateResult
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(
    old: Loaded,
    new: Loaded,
    *,
    margin: float = 0.99,
    alpha: float = 0.05,
    allow: Iterable[str] = (),
    backends: Iterable[str] = (),
    claims: Claims | None = None,
) -> RunComparison:
    """Compare two runs of one host: is NEW worse than OLD?

    margin: the share of OLD's performance that NEW must keep, 0 < margin < 1. allow: items from
    `bench.compare.comparability.ALLOWABLE` in which the runs may differ. backends: only these. Raises
    UnlikeRunsError, CompareError for runs that cannot be used or have nothing in common,
    SamplesError for samples of another shape.
    """
    check_numbers(margin, alpha)
    if old.run.id == new.run.id:
        raise CompareError(f"{old.directory} and {new.directory} are the same run; give two different runs")
    found = refuse_unlike(old.run, new.run, allow)
    known = claims or load_claims()
    usable = tuple(believed(one, known) for one in (old, new))
    undecidable = "; ".join(
        f"{one.directory}: {validity.undecidable}"
        for one, validity in zip((old, new), usable, strict=True)
        if validity.undecidable
    )
    settings = Settings(margin=margin, alpha=alpha, backends=tuple(backends), undecidable=undecidable)
    rows = tuple(rows_of(side(old), side(new), known, settings))
    if not any(row.role != "context" and row.state not in ("gone", "new") for row in rows):
        raise CompareError(
            f"{old.directory} and {new.directory} have no metric of any backend in common; "
            "measure the same backends and families"
        )
    return RunComparison(
        old=old,
        new=new,
        settings=settings,
        rows=rows,
        outcome=outcome(rows),
        differences=tuple(found),
        notes=(*_order(old, new), *(note for validity in usable for note in validity.notes)),
    )


def check_numbers(margin: float, alpha: float) -> None:
    """Raise CompareError for a margin or an alpha out of range."""
    if not 0.0 < margin < 1.0:
        raise CompareError(f"the margin is {margin:g}: give the share to be kept, for example 0.99")
    if not 0.0 < alpha < 0.5:
        raise CompareError(f"alpha is {alpha:g}: give a level between 0 and 0.5, for example 0.05")


def refuse_unlike(old: Run, new: Run, allow: Iterable[str]) -> list[Difference]:
    """What differs between two runs that may be compared. Raises RefusedError for those that may not."""
    spared = tuple(allow)
    strangers = [name for name in spared if name not in ALLOWABLE]
    if strangers:
        raise CompareError(
            f"cannot allow {', '.join(map(repr, strangers))} to differ: choose from {', '.join(ALLOWABLE)}"
        )
    found = differences(old, new, spared)
    bad = refusing(found)
    if bad:
        items = "; ".join(f"{one.item}: {one.old} → {one.new} ({one.why})" for one in bad)
        raise UnlikeRunsError(f"these are not two runs of one host: {items}; {_way_out(bad)}", found)
    return found


def _order(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """Note if NEW is older than OLD. Times are UTC in one format, so they sort as texts."""
    if new.run.started < old.run.started:
        return ("NEW was started before OLD: are they in the wrong order?",)
    return ()


def _way_out(bad: list[Difference]) -> str:
    if any(one.weight == "never" for one in bad):
        return "measure both on one machine"
    flags = " ".join(f"--allow {one.item}" for one in bad)
    return f"if this is the change to be compared, add {flags}"


def believed(loaded: Loaded, claims: Claims | None = None) -> Validity:
    """Return how far a run can be used. Raises CompareError if it cannot be used at all."""
    found = validity_of(loaded, claims or load_claims())
    if found.broken:
        raise CompareError(f"{loaded.directory} cannot be compared: {found.broken}")
    return found
