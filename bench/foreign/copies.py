"""Samples that were copied: rows pasted again, a file or a session given twice, a system that is another one.

Copies are not replication, and intervals from them are far too narrow. What repeats value by value is taken
for a copy where chance cannot explain it. Two independent values that were rounded to multiples of a step
are equal with a chance of about step / (2 √π σ). The step is the smallest difference of two values, and σ the
spread of neighbours, which drift does not widen. So counts and ticks of a coarse clock, which repeat by
themselves, are not copies.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.foreign.table import Pair
from bench.stats.location import Floats, Ints

CHANCE = 1e-4
"""The chance of taking any of a table's independent values for a copy."""

DISTINCT = 4
"""Different values in what repeats; fewer may alternate by nature, or be the most that can be reached."""

LAGS = (1, 2, 3)
"""Neighbours: the next values, and those after them, since some systems run fast and slow by turns."""

_SAME = 1e-9
"""Relative difference below which two values are one, computed in two ways."""

_TRIED = 10_000
"""Repeated stretches that are looked at for DISTINCT values."""


def of_pairs(frame: pd.DataFrame) -> dict[Pair, str]:
    """Return (metric, system) → what was copied, and the first rows concerned. frame: usable rows."""
    frame = frame.astype(dict.fromkeys(("metric", "system", "session"), "category"))
    grouped = frame.groupby(["metric", "system"], sort=False, observed=True)
    groups = cast(dict[Pair, Ints], grouped.indices)
    values = frame["value"].to_numpy(dtype=np.float64)
    alike = {pair: equal_by_chance(values[rows]) for pair, rows in groups.items()}
    sure = math.log(CHANCE / max(1, len(groups)))
    lone = ((frame["session"] == "") & (frame["block"] == "")).to_numpy(dtype=bool)
    found: dict[Pair, str] = {}
    for pair, rows in groups.items():
        places = _pasted(values[rows], alike[pair], sure) if lone[rows].all() else None
        if places is not None:
            first, again = (_at(frame, int(rows[place])) for place in places)
            found[pair] = (
                f"{pair[1]} has copied rows: from {again} on they repeat those from {first} on; "
                "give each value once"
            )
    frame["chance"] = [alike[pair] for pair in zip(frame["metric"], frame["system"], strict=True)]
    named = frame[frame["session"] != ""]
    for part, unit in ((frame, "system"), (named, "session"), (named, "session of a system")):
        for pair, text in _doubled(part, unit, sure):
            found.setdefault(pair, text)
    return found


def equal_by_chance(values: Floats) -> float:
    """Return the logarithm of the chance that two of the values are equal; 0 where that is not a surprise."""
    steps = np.diff(np.unique(values))
    steps = steps[steps > _SAME * np.abs(values).max()]
    if not steps.size:
        return 0.0
    apart = (np.median(np.abs(values[lag:] - values[:-lag])) for lag in LAGS if lag < values.size)
    spread = 1.4826 / math.sqrt(2) * float(min(apart))
    chance = float(steps.min()) / (2 * math.sqrt(math.pi) * spread) if spread > 0 else 1.0
    return min(0.0, math.log(chance))


def _pasted(values: Floats, chance: float, sure: float) -> tuple[int, int] | None:
    """Return where consecutive values come first and where they come again, too many for chance; None
    where no such stretch is."""
    if chance == 0.0:
        return None
    length = max(DISTINCT, math.ceil((sure - math.log(values.size**2 / 2)) / chance))
    if 2 * length > values.size:
        return None
    codes = np.unique(values, return_inverse=True)[1].astype(np.uint64)
    weights = np.random.default_rng(1).integers(1, 2**63, length, dtype=np.uint64)
    sums = np.lib.stride_tricks.sliding_window_view(codes, length) @ weights
    order = np.argsort(sums, kind="stable")
    same = sums[order[1:]] == sums[order[:-1]]
    places = np.stack([order[:-1][same], order[1:][same]], axis=1)
    for first, again in places[np.argsort(places[:, 1])][:_TRIED].tolist():
        if len(set(codes[first : first + length].tolist())) >= DISTINCT:
            return first, again
    return None


_KEYS = {
    "system": (["metric"], ["system"]),
    "session": (["metric"], ["session"]),
    "session of a system": (["metric", "system"], ["session"]),
}
"""Unit → (columns in which two units have to agree, columns that name it among them)."""


def _doubled(frame: pd.DataFrame, unit: str, sure: float) -> Iterator[tuple[Pair, str]]:
    """Yield the pairs of which a unit has, in their order, the values of another. frame: with the chances."""
    agree, name = _KEYS[unit]
    units = _units(frame, [*agree, *name])
    several = units[units.duplicated([*agree, "values"], keep=False)]
    for _, alike in several.groupby([*agree, "values"], sort=False, observed=True):
        first, *others = alike.to_dict("records")
        tries = math.comb(int((units["metric"] == first["metric"]).sum()), 2)
        if first["distinct"] < DISTINCT or first["chance"] + math.log(tries) > sure:
            continue
        for one in others:
            text = _worded(frame, unit, first, one)
            mine = frame[(frame[[*agree, *name]] == [one[key] for key in (*agree, *name)]).all(axis=1)]
            yield from (((one["metric"], system), text) for system in mine["system"].unique())


def _units(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return each unit with a sum over its values in their order, its first row, and its log chance."""
    order = frame.groupby([*dict.fromkeys((*keys, "system"))], sort=False, observed=True).cumcount()
    parts = pd.DataFrame({"order": order, "value": frame["value"]})
    if "system" not in keys:
        parts["system"] = frame["system"].cat.codes
    marked = frame.assign(
        values=pd.util.hash_pandas_object(parts, index=False),
        at=np.arange(len(frame)),
        distinct=frame["value"],
    )
    grouped = marked.groupby(keys, sort=False, observed=True)
    how = {"values": "sum", "at": "first", "chance": "sum", "distinct": "nunique"}
    return grouped.agg(how).reset_index()


def _worded(frame: pd.DataFrame, unit: str, first: dict[Hashable, Any], again: dict[Hashable, Any]) -> str:
    where = f"{_at(frame, again['at'])}, {_at(frame, first['at'])}"
    if unit == "system":
        return f"{again['system']} has the values of {first['system']}, one by one ({where}): measure both"
    return (
        f"session {again['session']} repeats session {first['session']}, value by value ({where}): "
        "a copy is not another session"
    )


def _at(rows: pd.DataFrame, position: int) -> str:
    return f"{rows['place'].iloc[position]} {rows['row'].iloc[position]}"
