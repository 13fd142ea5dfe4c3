"""The numbers of one metric on one arm in both runs; `rows` decides once all of them are there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from bench.claims import Claims
from bench.compare.change import Change, change
from bench.compare.sides import Scale, Side, is_size, locations, pairs, scale_of
from bench.judging.pairs import Key
from bench.judging.rows import count, finite, notes
from bench.model import ArmPlan
from bench.stats.location import Floats

RowRole = Literal["primary", "stress", "context"]

PAGE_BYTES = 4096.0
"""The smallest unit of memory: the tolerance of a count that was zero and that no claim limits."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """margin: share of OLD's performance to be kept. alpha: of each bound, and of all `worse` together.

    backends: arms to compare, () for all. undecidable: why no row may decide, or "".
    """

    margin: float
    alpha: float
    backends: tuple[str, ...] = ()
    undecidable: str = ""


class RowDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The change of one metric on one arm. short: why it may not decide. left_out: what could not be used.

    old, new: typical values, in `unit`. lower: whether lower values are better. tolerance: by how much it may
    fall without being worse, on the scale of `found`.
    """

    key: Key
    role: RowRole
    scale: Scale
    unit: str
    lower: bool
    scenario: str
    baseline: str
    tolerance: float
    old: float
    new: float
    n_old: int
    n_new: int
    n_pairs: int
    found: Change | None
    short: str
    left_out: tuple[str, ...]
    emulated: bool


def wanted(old: Side, new: Side, settings: Settings) -> list[Key]:
    """Return every judged metric on every requested arm, and on the host."""
    arms = {name: run.loaded.run.plan.arm[name] for run in (old, new) for name in run.arms}
    chosen = [name for name, arm in arms.items() if not settings.backends or _asked(arm, settings.backends)]
    names = dict.fromkeys((*old.metrics, *new.metrics))
    judged = [name for name in names if _first_role(name, old, new) != "info"]
    return [(name, arm) for name in judged for arm in (*chosen, old.baseline)]


def role_of(key: Key, old: Side, new: Side) -> RowRole:
    """Return `context` for the host, which never decides; the metric's role for all other arms."""
    if key[1] == old.baseline:
        return "context"
    return "primary" if _first_role(key[0], old, new) == "primary" else "stress"


def draft(key: Key, old: Side, new: Side, claims: Claims, settings: Settings) -> RowDraft:
    """Compute the numbers of a metric on an arm that both runs have."""
    metric = key[0]
    scale = scale_of(key, old, new, claims)
    before, after = locations(key, scale, old), locations(key, scale, new)
    tolerance = _tolerance(key, scale, old, claims, settings)
    ready = before.size > 1 and after.size > 1
    return RowDraft(
        key=key,
        role=role_of(key, old, new),
        scale=scale,
        unit=old.visits.unit[metric],
        lower=old.visits.better[metric] == "lower",
        scenario=new.visits.scenario.get(metric, ""),
        baseline=old.baseline if scale == "ratio" else "",
        tolerance=tolerance,
        old=float(np.median(old.values[key].locations)),
        new=float(np.median(new.values[key].locations)),
        n_old=before.size,
        n_new=after.size,
        n_pairs=pairs(key, scale, old) + pairs(key, scale, new),
        found=_change(metric, old, new, (before, after), tolerance, settings) if ready else None,
        short=_unlike(metric, old, new)
        or _too_few((before.size, after.size), claims.min_sessions)
        or settings.undecidable,
        left_out=notes(*(_left_out(name, key, scale, one) for name, one in (("OLD", old), ("NEW", new)))),
        emulated=any(one.loaded.run.plan.arm[key[1]].emulated for one in (old, new)),
    )


def numbers(one: RowDraft) -> tuple[float | None, float | None, float | None]:
    """Return (estimate, low, high) for readers: NEW / OLD in performance, or NEW − OLD as measured."""
    if one.found is None:
        return None, None, None
    centre, low, high = one.found.estimate, one.found.low, one.found.high
    if one.scale != "difference":
        with np.errstate(over="ignore"):
            centre, low, high = (float(value) for value in np.exp((centre, low, high)))
    elif one.lower:
        centre, low, high = -centre, -high, -low
    return finite(centre), finite(low), finite(high)


def margin(one: RowDraft, settings: Settings) -> float:
    """Return what the numbers are compared with: the share to be kept, or the allowed difference."""
    if one.scale != "difference":
        return settings.margin
    return one.tolerance if one.lower else -one.tolerance


def _change(
    metric: str, old: Side, new: Side, values: tuple[Floats, Floats], tolerance: float, settings: Settings
) -> Change:
    looked = any(one.loaded.run.plan.looks is not None for one in (old, new))
    return change(*values, tolerance, settings.alpha, tied=is_size(metric, old), looked=looked)


def _asked(arm: ArmPlan, backends: Sequence[str]) -> bool:
    """By the arm's own name or its backend's: `vm` asks for `vm-tcg`, as it does where a run is started."""
    return bool({arm.name, arm.backend} & set(backends))


def _first_role(metric: str, old: Side, new: Side) -> str:
    """Return the role in OLD: a metric must not change its role after a result."""
    return old.role(metric) if metric in old.metrics else new.role(metric)


def _tolerance(key: Key, scale: Scale, old: Side, claims: Claims, settings: Settings) -> float:
    """Return by how much it may fall without being worse: a logarithm, or in the samples' unit.

    For a count it is the same share of what its claim allows (1 MiB and 0.99: 10 KiB), else of its old value.
    """
    if scale != "difference":
        return -math.log(settings.margin)
    limits = [claim.margin for claim in claims.of_metric(key[0]) if claim.kind == "absolute" and claim.margin]
    typical = float(np.mean(np.abs(old.values[key].locations)))
    yardstick = limits[0] if limits else typical
    return (1.0 - settings.margin) * yardstick or (PAGE_BYTES if is_size(key[0], old) else 0.0)


def _unlike(metric: str, old: Side, new: Side) -> str:
    """Return why the numbers of the two runs do not measure the same, or ""."""
    for what, before, after in (
        ("unit", old.visits.unit[metric], new.visits.unit[metric]),
        ("direction", old.visits.better[metric], new.visits.better[metric]),
    ):
        if before != after:
            return f"its {what} was {before!r} and is {after!r}"
    return ""


def _left_out(name: str, key: Key, scale: Scale, run: Side) -> str:
    """Describe what could not be used of one run: invalid samples of either side, values without a ratio."""
    sides = (key[1], run.baseline) if scale == "ratio" else (key[1],)
    lost = [(arm, run.visits.lost[key[0], arm]) for arm in sides if (key[0], arm) in run.visits.lost]
    lost_words = [f"{count(one.count, 'invalid sample')} of {arm} ({one.reason})" for arm, one in lost]
    if scale == "ratio" and run.ratios[key].unfit:
        lost_words.append(f"{count(run.ratios[key].unfit, 'pair')} of zero or below")
    return f"left out of {name}: {', '.join(lost_words)}" if lost_words else ""


def _too_few(sessions: tuple[int, int], needed: int) -> str:
    for name, there in zip(("OLD", "NEW"), sessions, strict=True):
        if there < needed:
            return f"{name} has {there} sessions of it, at least {needed} are needed"
    return ""
