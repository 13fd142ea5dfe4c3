"""Pairs far from the rest of their series, and what the machine was doing then. They count like any other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from reports.arms import Legend

FAR = 5.0
"""Robust standard deviations (1.4826 MAD) from the series' median: one pair in a million of normal noise."""

LEAST = 0.02
"""A pair that lies closer than twice the per cent under test is not called extreme."""

MOST = 20
"""Pairs marked in a chart, the farthest first: their words are most of what a chart weighs."""

PLACE = ["arm", "session", "block"]

CAUSES = (
    # condition, words, by how much it must exceed its usual value (shares), or by which factor (the others)
    ("steal_share", "steal", 0.02, 0.0),
    ("stall_share", "CPU pressure", 0.05, 0.0),
    ("switch_rate", "context switches/s", 0.0, 1.5),
    ("frequency_mhz", "MHz", 0.0, 0.95),
)
"""What explains a slow slice; a share less than that above the usual moves no slice by LEAST."""


Visit = tuple[str, int, int]
"""Arm, session, block."""

Seen = dict[str, float]
"""A condition's value by its name in CAUSES; nan where the host does not report it."""


def extremes(samples: pd.DataFrame, baseline: str, legend: Legend) -> pd.DataFrame:
    """The extreme pairs of one metric: rows of `samples` (each pair's farthest one) with a column `cause`.

    cause: a tuple of texts: by how much the pair is off, then each condition that was out of the ordinary.

    Pairs are as the judge forms them: an arm and `baseline` in one block, each by its median.
    """
    valid = samples[samples["valid"].astype(bool) & (samples["value"] > 0)]
    nothing = valid.iloc[:0].assign(cause=None)
    if valid.empty or baseline not in set(valid["arm"]):
        return nothing
    cells = np.log(valid.groupby(PLACE, observed=True)["value"].median())
    base = cells.xs(baseline, level="arm")
    pairs = cells.drop(baseline, level="arm").rename("own").reset_index()
    pairs = pairs.merge(base.rename("base").reset_index(), on=PLACE[1:])
    if pairs.empty:
        return nothing
    ratio = pairs["own"] - pairs["base"]
    by_arm = pairs["arm"]
    away = ratio - ratio.groupby(by_arm).transform("median")
    spread = 1.4826 * away.abs().groupby(by_arm).transform("median")
    far = pairs.assign(away=away)[away.abs() > np.maximum(FAR * spread, LEAST)]
    far = far.reindex(far["away"].abs().sort_values(ascending=False).index).head(MOST)
    if far.empty:
        return nothing
    usual, seen = _conditions(valid)
    records = far[[*PLACE, "away"]].itertuples(index=False, name=None)
    rows = [_row(valid, (arm, *place), away, baseline, usual, seen, legend) for arm, *place, away in records]
    return pd.DataFrame(rows).astype({"session": "int64", "block": "int64"})


def _row(
    valid: pd.DataFrame,
    visit: Visit,
    away: float,
    baseline: str,
    usual: Seen,
    seen: dict[Visit, Seen],
    legend: Legend,
) -> dict[str, object]:
    """The sample to mark, the farthest of its visit, with the words for it."""
    mine = valid[(valid[PLACE] == list(visit)).all(axis=1)].reset_index(drop=True)
    slow = (away < 0) == (str(mine["better"].iloc[0]) == "higher")
    values = mine["value"].to_numpy(dtype=np.float64)
    place = int(values.argmax() if away > 0 else values.argmin())
    causes = [
        text
        for side in (visit, (baseline, *visit[1:]))
        if side in seen
        for text in _causes(legend.label(side[0]), seen[side], usual)
    ]
    why = causes or ["nothing recorded explains it"]
    moved = f"{abs(float(np.expm1(away))):.1%} {'worse' if slow else 'better'} than its pairs usually are"
    return {**{str(key): value for key, value in mine.iloc[place].items()}, "cause": (moved, *why)}


def _conditions(valid: pd.DataFrame) -> tuple[Seen, dict[Visit, Seen]]:
    """The usual conditions of this metric's slices, and those of each visit."""
    names = [name for name, *_ in CAUSES]
    switches = pd.to_numeric(valid["switches"], errors="coerce")
    frame = valid.assign(switch_rate=switches / (valid["duration_ns"].clip(lower=1) / 1e9))
    frame[names] = frame[names].apply(pd.to_numeric, errors="coerce")
    by_visit = frame.groupby(PLACE, observed=True)[names].max().reset_index()
    seen = {
        (str(found["arm"]), int(found["session"]), int(found["block"])): _floats(found, names)
        for found in by_visit.to_dict("records")
    }
    return _floats(frame[names].median().to_dict(), names), seen


def _floats(found: Mapping[Hashable, Any], names: list[str]) -> Seen:
    return {name: float(found[name]) for name in names}


def _causes(label: str, seen: Seen, usual: Seen) -> list[str]:
    """Which conditions were out of the ordinary, a lower clock as well as a higher load."""
    where, found = f"in the slice of {label}", []
    for name, words, above, factor in CAUSES:
        value, middle = seen[name], usual[name]
        if np.isnan(value) or np.isnan(middle):
            continue
        if above and value > middle + above:
            found.append(f"{value:.0%} {words} {where} (usual {middle:.1%})")
        elif not above and (value < middle * factor if factor < 1 else value > middle * factor):
            found.append(f"{value:,.0f} {words} {where} (usual {middle:,.0f})")
    return found
