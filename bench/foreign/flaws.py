"""Flaws in samples that prevent a verdict, described with the first row concerned."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.foreign.table import Pair, Table
from bench.judging.rows import count
from bench.stats.location import Floats

SMALLEST, LARGEST = 1e-300, 1e300
"""Values outside would overflow in sums or ratios; no time or rate is near them."""


def of_metrics(table: Table) -> dict[str, str]:
    """Return metric → why its values cannot be compared: differing units or directions, incomplete
    sessions."""
    frame = table.frame
    found: dict[str, str] = {}
    for name, what in (("better", "directions"), ("unit", "units")):
        kinds = frame.drop_duplicates(["metric", name])
        for metric, rows in _several(kinds):
            shown = ", ".join(
                f"{one or 'none'} ({_at(rows, k)})" for k, one in enumerate(rows[name].tolist())
            )
            found.setdefault(metric, f"its {what} differ: {shown}")
    for name in ("session", "block"):
        kinds = frame.assign(given=frame[name] != "").drop_duplicates(["metric", "given"])
        for metric, rows in _several(kinds):
            empty, given = (_at(rows, rows["given"].tolist().index(one)) for one in (False, True))
            text = f"{name} is empty in {empty} and given in {given}: fill it in everywhere or nowhere"
            found.setdefault(metric, text)
    return found


def of_values(table: Table) -> dict[Pair, str]:
    """Return (metric, system) → the values that cannot form a ratio, and where the first one is."""
    value = table.frame["value"].to_numpy(dtype=np.float64)
    bad = table.frame[~usable(value)]
    found: dict[Pair, str] = {}
    for (metric, system), rows in bad.groupby(["metric", "system"], sort=False, observed=True):
        first = float(rows["value"].iloc[0])
        what = "is not a number" if np.isnan(first) else f"is {first:.4g}"
        many = count(len(rows), "value")
        text = f"{many} of {system} unfit for a ratio ({_at(rows, 0)} {what}): a ratio needs positive numbers"
        found[str(metric), str(system)] = text
    return found


def usable(values: Floats) -> NDArray[np.bool_]:
    """Return which values can form a ratio."""
    return np.asarray((values >= SMALLEST) & (values <= LARGEST))


def _several(kinds: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the metrics in more than one row, with these rows."""
    doubled = kinds[kinds.duplicated("metric", keep=False)]
    return [(str(metric), rows) for metric, rows in doubled.groupby("metric", sort=False, observed=True)]


def _at(rows: pd.DataFrame, k: int) -> str:
    return f"{rows['place'].iloc[k]} {rows['row'].iloc[k]}"
