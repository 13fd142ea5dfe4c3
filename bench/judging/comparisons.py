"""Every comparison a claim asks for: which numbers, on which scale, with which bounds. No verdicts yet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.claims import Claim
from bench.judging.pairs import Key, Series, Visits, joined, pooled_series, ratio_series, value_series
from bench.model import Kind, Pairing, Role
from bench.stats.cluster import Interval, t_interval
from bench.stats.location import Floats, Ints, medians_by_group
from bench.stats.quantile import quantile_bounds

TIMES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
SIZES = {
    "B": 1.0,
    "bytes": 1.0,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
}

Bounds = Callable[[float], Interval]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One number against one margin. `bounds(alpha)` is on the scale of the claim's margin.

    metric is the samples' name, shown the row's. blocked: why it cannot be judged at all. tail: the quantile
    where it is one beyond the median (bounded by order statistics), else 0. pairing: as of a verdict.
    """

    metric: str
    shown: str
    role: Role
    arm: str
    series: Series
    bounds: Bounds
    baseline: str = ""
    scenario: str = ""
    blocked: str = ""
    tail: float = 0.0
    pairing: Pairing = ""


class RunSeries:
    """The samples of a run, with each kind of series computed once, when it is first asked for.

    kinds: what each arm runs in, where it is known. copies: those that count (see bench.model.Plan).
    """

    def __init__(
        self,
        visits: Visits,
        kinds: Mapping[str, Kind] | None = None,
        copies: Mapping[str, str] | None = None,
    ) -> None:
        self.visits = visits
        self.kinds = kinds or {}
        self.copies = copies or {}
        self._ratios: dict[str, dict[Key, Series]] = {}
        self._pooled: dict[str, dict[Key, Series]] = {}
        self._values: dict[Key, Series] | None = None
        self._places: dict[Key, NDArray[np.intp]] | None = None
        self._visits: Counter[Key] | None = None
        self._numbers = visits.usable["value"].to_numpy(dtype=np.float64)
        self._sessions = visits.usable["cluster"].to_numpy(dtype=np.int64)

    def ratios(self, baseline: str) -> dict[Key, Series]:
        """Log performance ratios against `baseline`, every copy being an arm of its own."""
        if baseline not in self._ratios:
            self._ratios[baseline] = ratio_series(self.visits, baseline)
        return self._ratios[baseline]

    def pooled(self, baseline: str) -> dict[Key, Series]:
        """The same with the copies that count counted in: what verdicts are about."""
        if not self.copies:
            return self.ratios(baseline)
        if baseline not in self._pooled:
            pooled = pooled_series(self.visits, baseline, self.copies)
            self._pooled[baseline] = {
                (metric, arm): msgspec.structs.replace(series, alike=self._alike(metric, arm, baseline))
                for (metric, arm), series in pooled.items()
            }
        return self._pooled[baseline]

    def _alike(self, metric: str, *arms: str) -> tuple[Series, ...]:
        """Sum and difference of what the copies of both arms differ by, halved: as noisy as the ratio."""
        apart = [
            self.ratios(original)[metric, copy]
            for copy, original in self.copies.items()
            if original in arms and (metric, copy) in self.ratios(original)
        ]
        if len(apart) < len(arms):
            return ()
        own, base = apart
        return tuple(joined(own, base, 1 / 2, sign) for sign in (1.0, -1.0))

    def pairing(self, metric: str, *arms: str) -> Pairing:
        """How the pairs of these two arms are formed."""
        counted = {copy for copy, original in self.copies.items() if original in arms}
        return "copies" if any((metric, copy) in self.visits.tried for copy in counted) else "single"

    def values(self) -> dict[Key, Series]:
        """Own values of every arm, in the samples' unit."""
        if self._values is None:
            self._values = value_series(self.visits)
        return self._values

    def visits_of(self, metric: str, arm: str) -> int:
        """Visits of an arm that gave a usable value of a metric."""
        if self._visits is None:
            self._visits = Counter(zip(self.visits.cells["metric"], self.visits.cells["arm"], strict=True))
        return self._visits[metric, arm]

    def raw(self, key: Key) -> tuple[Floats, Ints]:
        """All usable values of one metric on one arm, with the session each came from."""
        if self._places is None:
            groups = self.visits.usable.groupby(["metric", "arm"], observed=True).indices
            self._places = cast(dict[Key, NDArray[np.intp]], groups)
        rows = self._places.get(key, np.empty(0, dtype=np.intp))
        return self._numbers[rows], self._sessions[rows]


def comparisons(claim: Claim, evidence: RunSeries, skip: frozenset[str]) -> Iterator[Comparison]:
    """All comparisons of a claim on what was tried, leaving out the arms and metrics named in `skip`."""
    tried = evidence.visits.tried
    for metric, arm in sorted(tried):
        role = claim.role_of(metric)
        if role is None or metric in skip or arm in skip:
            continue
        if not claim.speaks_of(arm, evidence.kinds.get(arm)):
            continue
        if claim.kind == "ratio":
            for baseline in claim.baselines:
                if (metric, baseline) in tried and arm != baseline:
                    yield ratio(evidence, (metric, arm), role, baseline)
        elif claim.kind == "quantile":
            for q in claim.quantiles:
                yield _quantile(claim, evidence, (metric, arm), role, q)
        elif claim.kind == "absolute":
            yield _absolute(claim, evidence, (metric, arm), role)


def ratio(evidence: RunSeries, key: Key, role: Role, baseline: str) -> Comparison:
    """Performance of (metric, arm) relative to `baseline`, from the pairs inside their blocks."""
    series = evidence.pooled(baseline).get(key, Series())

    def bounds(alpha: float) -> Interval:
        return exponential(t_interval(series.locations, alpha))

    found = _comparison(evidence, key, role, series, bounds, baseline=baseline)
    return msgspec.structs.replace(found, pairing=evidence.pairing(*key, baseline))


def _absolute(claim: Claim, evidence: RunSeries, key: Key, role: Role) -> Comparison:
    series = evidence.values().get(key, Series())
    factor, blocked = _factor(evidence.visits.unit[key[0]], claim.unit)

    def bounds(alpha: float) -> Interval:
        return t_interval(series.locations * factor, alpha)

    return _comparison(evidence, key, role, series, bounds, blocked=blocked)


def _quantile(claim: Claim, evidence: RunSeries, key: Key, role: Role, q: float) -> Comparison:
    raw, owners = evidence.raw(key)
    factor, blocked = _factor(evidence.visits.unit[key[0]], claim.unit)
    positive = raw > 0
    values, clusters = raw[positive] * factor, owners[positive]
    ids, medians = medians_by_group(values, clusters)
    series = Series(
        clusters=ids, locations=medians, n_pairs=values.size, unfit=int(np.count_nonzero(~positive))
    )

    def bounds(alpha: float) -> Interval:
        if q == 0.5 or values.size == 0:
            return exponential(t_interval(np.log(medians), alpha))
        found = quantile_bounds(values, clusters, q, alpha)
        return Interval(
            estimate=found.estimate, low=found.low, high=found.high, se=math.nan, n_clusters=int(ids.size)
        )

    shown, tail = f"{key[0]}.p{100 * q:g}", q if q != 0.5 else 0.0
    return _comparison(evidence, key, role, series, bounds, shown=shown, blocked=blocked, tail=tail)


def _comparison(
    evidence: RunSeries, key: Key, role: Role, series: Series, bounds: Bounds, shown: str = "", **more: Any
) -> Comparison:
    metric, arm = key
    return Comparison(
        metric=metric,
        shown=shown or metric,
        role=role,
        arm=arm,
        series=series,
        bounds=bounds,
        scenario=evidence.visits.scenario.get(metric, ""),
        **more,
    )


def exponential(interval: Interval) -> Interval:
    """From the log scale to ratios (or to the unit whose logarithm was taken)."""
    with np.errstate(over="ignore"):
        low, centre, high = np.exp([interval.low, interval.estimate, interval.high])
    return msgspec.structs.replace(interval, estimate=float(centre), low=float(low), high=float(high))


def _factor(unit: str, wanted: str) -> tuple[float, str]:
    """Factor from the samples' unit to the claim's; nan with a reason when they do not measure the same."""
    if unit == wanted:
        return 1.0, ""
    for scale in (TIMES, SIZES):
        if unit in scale and wanted in scale:
            return scale[unit] / scale[wanted], ""
    return math.nan, f"unit {unit!r} cannot be compared with a margin in {wanted}"
