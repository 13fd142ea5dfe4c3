"""Two run directories to one comparison: refuse, or rows and an answer."""

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
from bench.compare.validity import Soundness, soundness
from bench.model import Run
from bench.store import Loaded


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The result: rows (the worst first), what differs between the runs, what a reader should know."""

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

    margin: the share of OLD's performance that NEW has to keep, 0 < margin < 1. allow: items out of
    `bench.compare.comparability.ALLOWABLE` in which the runs may differ. backends: only these arms. Raises
    RefusedError for unlike runs, CompareError for runs that are no result or have nothing in common,
    SamplesError for samples of another shape.
    """
    check_numbers(margin, alpha)
    if old.run.id == new.run.id:
        raise CompareError(
            f"{old.directory} and {new.directory} are one run, which is never worse than itself; "
            "give two that were measured one after the other"
        )
    found = refuse_unlike(old.run, new.run, allow)
    known = claims or load_claims()
    sound = tuple(believed(one, known) for one in (old, new))
    untold = "; ".join(
        f"{one.directory}: {belief.untold}"
        for one, belief in zip((old, new), sound, strict=True)
        if belief.untold
    )
    settings = Settings(margin=margin, alpha=alpha, backends=tuple(backends), untold=untold)
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
        notes=(*_order(old, new), *(note for belief in sound for note in belief.notes)),
    )


def check_numbers(margin: float, alpha: float) -> None:
    """Raises CompareError for a margin or a level that is none."""
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
        told = "; ".join(f"{one.item}: {one.old} → {one.new} ({one.why})" for one in bad)
        raise UnlikeRunsError(f"these are not two runs of one host: {told}; {_way_out(bad)}", found)
    return found


def _order(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """Times of a run are UTC in one form, so that they sort as texts."""
    if new.run.started < old.run.started:
        return ("NEW was started before OLD: were they given the wrong way round?",)
    return ()


def _way_out(bad: list[Difference]) -> str:
    if any(one.weight == "never" for one in bad):
        return "measure both on one machine"
    flags = " ".join(f"--allow {one.item}" for one in bad)
    return f"if that is the very change to be compared, add {flags}"


def believed(loaded: Loaded, claims: Claims | None = None) -> Soundness:
    """What a run may be used for. Raises CompareError where it is no result at all."""
    found = soundness(loaded, claims or load_claims())
    if found.broken:
        raise CompareError(f"{loaded.directory} cannot be compared: {found.broken}")
    return found
