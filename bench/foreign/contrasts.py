"""From a table to comparisons: what is paired with what, and which method gives the bounds.

Paired by block if both systems have samples in the same blocks, else by session, else unpaired. Declared
sessions are the unit of replication (docs/method.md). Without sessions it is the values, or the pairs of
blocks, and the row states what is assumed about them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import cached_property

import msgspec
import numpy as np
import pandas as pd

from bench.foreign import copies, flaws
from bench.foreign.table import Pair, Table
from bench.judging.pairs import Series, Visits, collect, ratio_series
from bench.judging.rows import count, join
from bench.stats.cluster import Interval, t_interval
from bench.stats.location import Floats, medians_by_group
from bench.stats.unpaired import shift, welch

GROUPS = 10
"""Groups of consecutive blocks if no session is declared: few enough for each to be longer than drift over
some blocks, many enough for Student's t to be near its limit (Ibragimov & Müller 2010 use 4 to 16 for time
series)."""

FEWEST = 20
"""With fewer values, correlation of neighbours cannot be distinguished from chance (3 / √n is 2/3)."""

Bounds = Callable[[float], Interval]


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one system against the baseline. `bounds(alpha)` is the log of performance.

    unit: what counts as independent ("session", "pair", "value"); `units`: how many (of the smaller side if
    unpaired). flaw: why no verdict can be given. how: the pairing, in words. absent: the system has no
    samples of this metric.
    """

    metric: str
    system: str
    bounds: Bounds | None = None
    unit: str = "value"
    units: int = 0
    n_sessions: int = 0
    n_pairs: int = 0
    flaw: str = ""
    how: str = ""
    unpaired: bool = False
    absent: bool = False


class _Paired(msgspec.Struct, frozen=True, kw_only=True):
    """Series of log ratios, and the number of visits by (metric, system), with those that have no partner."""

    series: dict[Pair, Series] = {}
    visits: dict[Pair, int] = {}


class _Sorted:
    """The usable rows of a table, with labels as numbers, and the paired series of all metrics."""

    def __init__(self, table: Table, baseline: str) -> None:
        self.flaws_of_metrics, self.flaws_of_values = flaws.of_metrics(table), flaws.of_values(table)
        frame = table.frame
        value = frame["value"].to_numpy(dtype=np.float64)
        frame = frame[flaws.usable(value)]
        self.copied = copies.of_pairs(frame)
        frame = frame.assign(session_code=_codes(frame["session"]), block_code=_codes(frame["block"]))
        self.groups = frame.groupby(["metric", "system"], sort=False, observed=True).indices
        self.logs = np.log(frame["value"].to_numpy(dtype=np.float64))
        self.sessions = frame["session_code"].to_numpy(dtype=np.int64)
        self.lower = dict(zip(frame["metric"], frame["better"] == "lower", strict=True))
        blocks, sessions = frame["block"] != "", frame["session"] != ""
        self.declared = sessions.to_numpy(dtype=bool)
        self.by_block = _paired(frame[blocks & sessions], "session_code", "block_code", baseline)
        self.by_lone_block = _paired(frame[blocks & ~sessions], "block_code", "session_code", baseline)
        self._with_session, self._baseline = frame[sessions], baseline

    @cached_property
    def by_session(self) -> _Paired:
        """Only made where rows name no blocks in common."""
        return _paired(self._with_session, "session_code", "", self._baseline)


def contrasts(table: Table, baseline: str) -> Iterator[Contrast]:
    """Yield every metric of every other system against `baseline`, in the order of the rows."""
    found = _Sorted(table, baseline)
    there = dict.fromkeys(table.pairs)
    others = [name for name in table.systems if name != baseline]
    for metric in dict.fromkeys(metric for metric, _ in there):
        base = (metric, baseline)
        for system in others:
            key = (metric, system)
            if key in there:
                yield _contrast(table, found, key, base, measured=base in there)
            elif table.crossed and base in there:
                yield Contrast(metric=metric, system=system, absent=True)


def _contrast(table: Table, found: _Sorted, key: Pair, base: Pair, *, measured: bool) -> Contrast:
    """Return one comparison with its flaws. measured: whether the baseline has samples of the metric."""
    remarks = join(*(table.remarks.get(one, "") for one in (key, base)))
    flaw = join(
        found.flaws_of_metrics.get(key[0], ""),
        "" if measured else f"no samples of the baseline {base[1]} for this metric",
        *(f"{one[1]} failed: {table.broken[one]}" for one in (key, base) if one in table.broken),
        *dict.fromkeys(found.copied.get(one, "") for one in (key, base)),
    )
    if flaw:
        return Contrast(metric=key[0], system=key[1], flaw=flaw, how=remarks)
    one = _one(found, key, base, table.caveats.get(key[0], ""))
    flaw = join(*(found.flaws_of_values.get(each, "") for each in (key, base)))
    return msgspec.structs.replace(one, flaw=flaw, how=join(one.how, remarks))


def _one(found: _Sorted, key: Pair, base: Pair, caveat: str) -> Contrast:
    """Use the first way of pairing for which both sides have something in common."""
    if key in found.by_block.series:
        return _by_sessions(found.by_block, key, base, "block")
    if key in found.by_session.series:
        return _by_sessions(found.by_session, key, base, "session")
    if key in found.by_lone_block.series:
        return _by_blocks(found.by_lone_block, key, base)
    own, other = (found.groups.get(one, np.empty(0, dtype=np.int64)) for one in (key, base))
    sign = -1.0 if found.lower.get(key[0], False) else 1.0
    if found.declared[own].any():
        a, b = (medians_by_group(sign * found.logs[one], found.sessions[one])[1] for one in (own, other))
        return _unpaired_sessions(key, a, b)
    return _unpaired_values(key, sign * found.logs[own], sign * found.logs[other], caveat)


def _by_sessions(paired: _Paired, key: Pair, base: Pair, way: str) -> Contrast:
    series = paired.series[key]
    n = series.n_sessions
    how = f"paired by {way}" if way == "session" else f"paired by block, {count(series.n_pairs, 'pair')}"
    return Contrast(
        metric=key[0],
        system=key[1],
        bounds=lambda alpha: t_interval(series.locations, alpha),
        unit="session",
        units=n,
        n_sessions=n,
        n_pairs=series.n_pairs,
        how=join(how, _lone(paired.visits, key, base, series.n_pairs, way)),
    )


def _by_blocks(paired: _Paired, key: Pair, base: Pair) -> Contrast:
    """Pair blocks without sessions; medians of consecutive blocks, so that neighbours in time count once."""
    pairs = paired.series[key].locations
    groups = _medians(pairs)
    many = f": medians of {groups.size} groups of consecutive ones" if groups.size < pairs.size else ""
    how = (
        f"paired by block, {count(pairs.size, 'pair')}, no session named{many}; "
        "differences between sessions are not included"
    )
    return Contrast(
        metric=key[0],
        system=key[1],
        bounds=lambda alpha: t_interval(groups, alpha),
        unit=f"group of {count(pairs.size // GROUPS, 'pair')}" if many else "pair",
        units=groups.size,
        n_pairs=pairs.size,
        how=join(how, _lone(paired.visits, key, base, pairs.size, "block")),
    )


def _medians(values: Floats) -> Floats:
    """Return medians of at most GROUPS groups of consecutive values."""
    return np.array([np.median(part) for part in np.array_split(values, min(GROUPS, values.size))])


def _unpaired_sessions(key: Pair, a: Floats, b: Floats) -> Contrast:
    how = f"unpaired: {a.size} and {b.size} sessions, none in common"
    n = min(a.size, b.size)
    return Contrast(
        metric=key[0],
        system=key[1],
        bounds=lambda alpha: welch(a, b, alpha),
        unit="session",
        units=n,
        n_sessions=n,
        how=how,
        unpaired=True,
    )


def _unpaired_values(key: Pair, a: Floats, b: Floats, caveat: str) -> Contrast:
    """Compare values without sessions; the order of rows is taken as the order of time."""
    if resemble(a) or resemble(b):
        return _grouped_values(key, a, b, caveat)
    how = join(f"unpaired: {a.size} and {b.size} values, assumed to be independent", caveat)
    return Contrast(
        metric=key[0],
        system=key[1],
        bounds=lambda alpha: shift(a, b, alpha),
        unit="value",
        units=min(a.size, b.size),
        how=how,
        unpaired=True,
    )


def _grouped_values(key: Pair, a: Floats, b: Floats, caveat: str) -> Contrast:
    """Compare values that are visibly not independent: medians of consecutive ones, as for lone blocks."""
    first, second = _medians(a), _medians(b)
    how = (
        f"unpaired: {a.size} and {b.size} values; neighbours resemble one another, so medians of "
        f"{first.size} and {second.size} groups of consecutive ones are compared"
    )
    return Contrast(
        metric=key[0],
        system=key[1],
        bounds=lambda alpha: welch(first, second, alpha),
        unit=f"group of {count(max(a.size, b.size) // GROUPS, 'value')}",
        units=min(first.size, second.size),
        how=join(how, caveat),
        unpaired=True,
    )


def resemble(values: Floats) -> bool:
    """Return whether neighbours are more alike than distant values: a rank correlation above 3 / √n.

    About one in a thousand series of independent values has that (the correlation at lag one has a standard
    error of 1 / √n: Bartlett 1946, J. R. Stat. Soc. Suppl. 8, 27–41). With ranks, outliers do not hide it.
    """
    if values.size < FEWEST:
        return False
    ranks = pd.Series(values).rank().to_numpy()
    spread = float(np.var(ranks))
    if spread == 0.0:
        return False
    centred = ranks - ranks.mean()
    return float(np.mean(centred[1:] * centred[:-1])) / spread > 3.0 / math.sqrt(values.size)


def _paired(frame: pd.DataFrame, cluster: str, block: str, baseline: str) -> _Paired:
    """Pair all rows that agree in metric, `cluster` and `block` (a column, or "")."""
    if frame.empty:
        return _Paired()
    samples = pd.DataFrame(
        {
            "run": "",
            "session": frame[cluster],
            "block": frame[block] if block else 0,
            "arm": frame["system"],
            "metric": frame["metric"],
            "unit": frame["unit"],
            "better": frame["better"],
            "value": frame["value"],
            "valid": True,
            "reason": "",
        }
    )
    visits: Visits = collect(samples)
    sizes = visits.cells.groupby(["metric", "arm"], observed=True).size()
    counted = dict(zip(map(_pair, sizes.index), map(int, sizes), strict=True))
    return _Paired(series=ratio_series(visits, baseline), visits=counted)


def _pair(index: tuple[object, object]) -> Pair:
    return str(index[0]), str(index[1])


def _lone(counted: dict[Pair, int], key: Pair, base: Pair, pairs: int, way: str) -> str:
    parts = [
        f"{count(counted[one] - pairs, way)} of {one[1]} without a partner left out"
        for one in (key, base)
        if counted.get(one, 0) > pairs
    ]
    return join(*parts)


def _codes(labels: pd.Series) -> np.ndarray:
    """Number labels in their natural order (block 2 before block 10)."""
    known = sorted(set(labels.tolist()), key=_natural)
    order = {label: place for place, label in enumerate(known)}
    return labels.map(order).to_numpy(dtype=np.int64)


def _natural(label: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", label)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
