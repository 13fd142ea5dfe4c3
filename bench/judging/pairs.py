"""Samples to the numbers the judge works on: per-visit values, and log-ratios of pairs inside one block.

A visit is (metric, arm, session, block). Several readings of one visit (twenty starts in a row) are one
value, their median: they are as close as samples can be and never count as independent. Performance is
turned so that larger is better: arm / baseline where higher is better, baseline / arm where lower is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import pandas as pd

from bench.errors import ExpectedError
from bench.stats.control import within_error
from bench.stats.location import Floats, Ints, medians_by_group

VISIT = ["metric", "arm", "cluster", "block"]
COLUMNS = ("run", "session", "block", "arm", "metric", "unit", "better", "value", "valid", "reason")

Key = tuple[str, str]
"""(metric, arm)."""


class SamplesError(ExpectedError):
    """The samples are not of the shape the judge needs: names what is missing."""


class Loss(msgspec.Struct, frozen=True):
    """Samples that could not be used: how many, and the reason given most often."""

    count: int
    reason: str


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What one test is made of: the median of each session (`clusters` ascending) and what was counted.

    unfit: pairs without a logarithm (a value of zero or below). within: see bench.stats.control. alike:
    series of the same noise about a truth of 0, where both sides have copies: they show the noise, never the
    ratio.
    """

    clusters: Ints = msgspec.field(default_factory=lambda: np.empty(0, dtype=np.int64))
    locations: Floats = msgspec.field(default_factory=lambda: np.empty(0))
    n_pairs: int = 0
    unfit: int = 0
    within: float = 0.0
    alike: tuple[Series, ...] = ()

    @property
    def n_sessions(self) -> int:
        """Sessions with at least one usable pair."""
        return int(self.locations.size)


class Visits(msgspec.Struct, frozen=True, kw_only=True):
    """All samples of a run, sorted out.

    usable: valid finite samples, columns VISIT + value. cells: their median per visit. lost: what was not
    usable. unit, better and scenario are per metric (scenario empty where the samples name none).
    """

    usable: pd.DataFrame
    cells: pd.DataFrame
    lost: dict[Key, Loss]
    unit: dict[str, str]
    scenario: dict[str, str]
    better: dict[str, str]
    tried: frozenset[Key]
    arms: tuple[str, ...]


def collect(samples: pd.DataFrame) -> Visits:
    """Check and sort out the samples (columns of bench.model.Sample, rows in any order). SamplesError."""
    missing = [name for name in COLUMNS if name not in samples.columns]
    if missing:
        raise SamplesError(f"judge samples: columns missing: {', '.join(missing)}; give a samples.parquet")
    frame = samples[["metric", "arm", "block", "reason"]].reset_index(drop=True)
    frame = frame.astype({"metric": str, "arm": str})
    frame["cluster"] = samples.groupby(["run", "session"], sort=True).ngroup().to_numpy()
    frame["value"] = samples["value"].to_numpy(dtype=np.float64)
    good = samples["valid"].to_numpy(dtype=bool) & np.isfinite(frame["value"].to_numpy())
    usable = frame.loc[good, [*VISIT, "value"]]
    cells = usable.groupby(VISIT, sort=True, observed=True)["value"].median().reset_index()
    first = samples.drop_duplicates("metric")
    tried = samples[["metric", "arm"]].drop_duplicates().itertuples(index=False, name=None)
    return Visits(
        usable=usable,
        cells=cells,
        lost=_losses(frame[~good]),
        unit={str(k): str(v) for k, v in zip(first["metric"], first["unit"], strict=True)},
        scenario=_scenarios(first),
        better={str(k): str(v) for k, v in zip(first["metric"], first["better"], strict=True)},
        tried=frozenset((str(metric), str(arm)) for metric, arm in tried),
        arms=tuple(str(name) for name in dict.fromkeys(samples["arm"])),
    )


def _scenarios(first: pd.DataFrame) -> dict[str, str]:
    """Scenario of each metric, from one sample of each; samples of other tools name none."""
    if "scenario" not in first.columns:
        return {}
    return {str(k): str(v) for k, v in zip(first["metric"], first["scenario"], strict=True)}


def ratio_series(visits: Visits, baseline: str) -> dict[Key, Series]:
    """Log performance ratios of every other arm against `baseline`; keys come in order of name."""
    cells = visits.cells
    base = cells[cells["arm"] == baseline]
    arms = cells[cells["arm"] != baseline]
    both = arms.merge(base, on=["metric", "cluster", "block"], suffixes=("", "_base"))
    own = both["value"].to_numpy(dtype=np.float64)
    other = both["value_base"].to_numpy(dtype=np.float64)
    positive = (own > 0) & (other > 0)
    fit = both[positive]
    logs = np.log(own[positive]) - np.log(other[positive])
    lower = fit["metric"].map(visits.better).to_numpy() == "lower"
    series = _series(fit, np.where(lower, -logs, logs))
    for key, count in _counts(both[~positive]).items():
        series[key] = msgspec.structs.replace(series.get(key, Series()), unfit=count)
    return dict(sorted(series.items()))


def pooled_series(visits: Visits, baseline: str, copies: Mapping[str, str]) -> dict[Key, Series]:
    """The same with second copies counted in; copies: copy → the arm it is a copy of.

    A copy is the same system, so the copies of both sides give pairs of their own in each block, and a
    session's location is the mean of both medians: half of the variance of one, of instances too. Where a
    session has pairs of one kind only, these count. Exchanging both copies with their originals changes no
    ratio and turns the sign of every difference between copies (the A/A control): the two are uncorrelated.
    """
    single = ratio_series(visits, baseline)
    doubled = visits.cells[visits.cells["arm"].isin(list(copies))]
    replaced = pd.MultiIndex.from_arrays([doubled["metric"], doubled["arm"].map(copies)])
    kept = ~pd.MultiIndex.from_frame(visits.cells[["metric", "arm"]]).isin(replaced)
    cells = visits.cells[kept].assign(arm=visits.cells["arm"][kept].replace(dict(copies)))
    second = ratio_series(msgspec.structs.replace(visits, cells=cells), baseline)
    have = set(replaced)
    found = {}
    for key in sorted(single.keys() | second.keys()):
        sides = {key, (key[0], baseline)} & have
        if key[1] in copies:
            continue
        one, other = single.get(key, Series()), second.get(key, Series())
        # The pairs of an arm without a copy share its slice: their mean has three quarters of the variance.
        found[key] = joined(one, other, 1 / 2 if len(sides) == 2 else 3 / 4) if sides else one
    return found


def joined(first: Series, second: Series, share: float, sign: float = 1.0) -> Series:
    """The mean of two series (their half difference for a sign of −1), session by session.

    share: the variance of a mean of two over that of one, 1/2 where they are independent. A mean has the
    sessions of either, a difference those of both.
    """
    ids = np.union1d(first.clusters, second.clusters)
    values = np.full((2, ids.size), np.nan)
    for row, (series, turned) in enumerate(((first, 1.0), (second, sign))):
        values[row, np.searchsorted(ids, series.clusters)] = turned * series.locations
    there = ~np.isnan(values)
    fit = there.any(axis=0) if sign > 0 else there.all(axis=0)
    return Series(
        clusters=ids[fit],
        locations=np.nansum(values, axis=0)[fit] / there.sum(axis=0)[fit],
        n_pairs=max(first.n_pairs, second.n_pairs),
        unfit=max(first.unfit, second.unfit),
        within=math.sqrt(share * (first.within**2 + second.within**2) / 2),
    )


def value_series(visits: Visits) -> dict[Key, Series]:
    """Every arm's own values, one number per visit, in the samples' unit."""
    return _series(visits.cells, visits.cells["value"].to_numpy(dtype=np.float64))


def _series(frame: pd.DataFrame, values: Floats) -> dict[Key, Series]:
    """Reduce one number per visit to one number per session for each (metric, arm)."""
    if frame.empty:
        return {}
    codes = np.asarray(frame.groupby(["metric", "arm"], sort=False).ngroup(), dtype=np.int64)
    clusters = frame["cluster"].to_numpy(dtype=np.int64)
    width = int(clusters.max()) + 1
    groups = codes * width + clusters
    ids, locations = medians_by_group(values, groups)
    _, deviations = medians_by_group(np.abs(values - locations[np.searchsorted(ids, groups)]), codes)
    pairs = np.bincount(codes)
    sessions = np.bincount(ids // width)
    within = within_error(deviations, pairs / sessions)
    ends = np.cumsum(sessions)
    names = frame[["metric", "arm"]].drop_duplicates().itertuples(index=False, name=None)
    return {
        (str(metric), str(arm)): Series(
            clusters=ids[ends[code] - sessions[code] : ends[code]] % width,
            locations=locations[ends[code] - sessions[code] : ends[code]],
            n_pairs=int(pairs[code]),
            within=float(within[code]),
        )
        for code, (metric, arm) in enumerate(names)
    }


def _losses(lost: pd.DataFrame) -> dict[Key, Loss]:
    """How much each (metric, arm) lost, and the reason given most often (of equals the first by name)."""
    if lost.empty:
        return {}
    named = lost.assign(reason=lost["reason"].astype(str).replace("", "not a finite number"))
    sizes = named.groupby(["metric", "arm", "reason"], observed=True, sort=True).size()
    found: dict[Key, Loss] = {}
    most: dict[Key, int] = {}
    for metric, arm, reason, number in sizes.reset_index().itertuples(index=False, name=None):
        key = (str(metric), str(arm))
        before = found.get(key, Loss(0, ""))
        often = number > most.get(key, 0)
        most[key] = max(number, most.get(key, 0))
        found[key] = Loss(before.count + int(number), str(reason) if often else before.reason)
    return found


def _counts(frame: pd.DataFrame) -> dict[Key, int]:
    groups = frame.groupby(["metric", "arm"], observed=True)
    return {(str(metric), str(arm)): len(rows) for (metric, arm), rows in groups}
