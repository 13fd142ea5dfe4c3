"""From a table to verdicts on the claim `judge.ratio`: "has `margin` of the baseline's performance"."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.claims import ALPHA, BASELINE, MARGIN
from bench.foreign.contrasts import Contrast, contrasts
from bench.foreign.readings import more_data, plural
from bench.foreign.table import REQUIRED, ChoiceError, ForeignError, Table, checked, from_run, of_a_run
from bench.judging.comparisons import exponential
from bench.judging.rows import count, decide, finite, notes
from bench.model import State, Verdict
from bench.stats.cluster import Interval

CLAIM = "judge.ratio"

LEAST = 4
"""Sessions (or pairs, or values per system, if no session is named) required for any verdict: min_sessions of
claims.toml, for the same reasons (docs/method.md)."""


def judge_frame(
    frame: pd.DataFrame,
    baseline: str = BASELINE,
    margin: float = MARGIN,
    alpha: float = ALPHA,
    *,
    holm: bool = False,
) -> list[Verdict]:
    """Judge samples with the columns metric, system, value, better and, if known, session, block, unit.

    better is "higher" or "lower", the same for all rows of a metric. Each verdict is on whether `system` has
    at least `margin` of `baseline`'s performance (larger is better, whatever the metric's direction), each
    bound at level `alpha`; with `holm` over all rows together. Raises ForeignError, which names the row of
    the frame, counted from 0. A frame of a run's samples (bench.store.load) is accepted as it is.
    """
    if of_a_run(frame):
        return judge_table(from_run(frame, "frame: row", 0), baseline, margin, alpha, holm=holm)
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise ForeignError(
            f"judge a frame: columns missing: {', '.join(missing)}; it needs metric, system, value, better"
        )
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise ForeignError(f"judge a frame: column {doubled[0]} exists twice; keep one")
    table = checked(frame, "frame: row", range(len(frame)), "data frame")
    return judge_table(table, baseline, margin, alpha, holm=holm)


def judge_table(
    table: Table, baseline: str, margin: float, alpha: float, *, holm: bool = False
) -> list[Verdict]:
    """Return verdicts, metrics and systems in the order of the table. Raises ChoiceError."""
    if not (math.isfinite(margin) and margin > 0):
        raise ChoiceError(f"margin {margin} is not a ratio; use for example 0.99")
    if margin > 1:
        raise ChoiceError(
            f"margin {margin:g} is above 1: it is the share of the baseline's performance to reach; "
            "use 0.99 for 99 %"
        )
    if not 0 < alpha < 0.5:
        raise ChoiceError(f"alpha {alpha} is outside (0, 0.5); use for example 0.05")
    systems = table.systems
    if baseline not in systems:
        raise ChoiceError(f"no baseline {baseline!r} in the samples: choose one of {_named(systems)}")
    if len(systems) == 1:
        raise ChoiceError(f"{baseline!r} is the only system in the samples; also give samples of another one")
    found = list(contrasts(table, baseline))
    supported, refuted = _levels(found, margin, alpha) if holm else (alpha, alpha)
    note = f"Holm over {count(sum(map(_judged, found)), 'row')}" if holm else ""
    return [_row(one, baseline, margin, alpha, (supported, refuted), note) for one in found]


def _levels(found: Sequence[Contrast], margin: float, alpha: float) -> tuple[float, float]:
    """Return the levels at which Holm's procedure stops, for the lower and the upper bounds.

    Step-down without p-values: with R rows decided so far, the next are tried at alpha / (m − R).
    Holm (1979), Scand. J. Statist. 6(2), 65–70. The sides are separate families: at most alpha for any false
    "supported", and at most alpha for any false "refuted".
    """
    judged = [one for one in found if _judged(one)]
    levels = []
    for state in ("supported", "refuted"):
        decided, level = -1, alpha / max(1, len(judged))
        while True:
            now = sum(_state(_bounds(one, level, level), margin) == state for one in judged)
            if now <= decided or now == len(judged):
                break
            decided, level = now, alpha / (len(judged) - now)
        levels.append(level)
    return levels[0], levels[1]


def _judged(one: Contrast) -> bool:
    return one.bounds is not None and not one.flaw and one.units >= LEAST


def _bounds(one: Contrast, below: float, above: float) -> Interval:
    """Return bounds on the log scale, the lower one at level `below`, the upper one at `above`."""
    assert one.bounds is not None
    first = one.bounds(below)
    if above == below:
        return first
    return Interval(
        estimate=first.estimate,
        low=first.low,
        high=one.bounds(above).high,
        se=first.se,
        n_clusters=first.n_clusters,
    )


def _state(interval: Interval, margin: float) -> State:
    return decide(exponential(interval), margin, at_least=True)


def _row(
    one: Contrast, baseline: str, margin: float, alpha: float, levels: tuple[float, float], note: str
) -> Verdict:
    interval = _bounds(one, *levels) if one.bounds else None
    short = one.flaw or _shortfall(one)
    state: State = "not measured" if one.absent else "inconclusive"
    help_ = ""
    if interval is not None and not short:
        state = _state(interval, margin)
        if state == "inconclusive":
            help_ = more_data(interval, margin, min(levels), one.unit, both=one.unpaired)
    estimate, low, high = _ratios(interval) if interval else (None, None, None)
    flat = (
        "the values do not vary: counts, copies, or a clock that is too coarse"
        if interval and interval.se == 0.0
        else ""
    )
    nothing = f"no samples of {one.system} for this metric" if one.absent else ""
    return Verdict(
        claim=CLAIM,
        metric=one.metric,
        arm=one.system,
        baseline=baseline,
        estimate=estimate,
        low=low,
        high=high,
        margin=margin,
        alpha=alpha,
        n_sessions=one.n_sessions,
        n_pairs=one.n_pairs,
        verdict=state,
        notes=notes(nothing, short, help_, one.how, flat, note if _judged(one) else ""),
    )


def _ratios(interval: Interval) -> tuple[float | None, ...]:
    """Return estimate and bounds as ratios, None for a bound that does not exist, which is not a ratio of
    0."""
    ratios = exponential(interval)
    pairs = ((interval.estimate, ratios.estimate), (interval.low, ratios.low), (interval.high, ratios.high))
    return tuple(finite(ratio) if math.isfinite(log) else None for log, ratio in pairs)


def _shortfall(one: Contrast) -> str:
    """Return why there are too few units for any verdict, or ""."""
    if one.bounds is None or one.units >= LEAST:
        return ""
    whose = " of each system" if one.unpaired else ""
    have = f"{one.units} {one.unit if one.units == 1 else plural(one.unit)}"
    return f"{have}, a verdict needs at least {LEAST}{whose}: {LEAST - one.units} more"


def _named(systems: Sequence[str]) -> str:
    """List the systems to choose from, at most twenty."""
    shown = ", ".join(repr(name) for name in systems[:20])
    return shown if len(systems) <= 20 else f"{shown} and {len(systems) - 20} more"
