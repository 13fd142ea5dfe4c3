"""Samples to the numbers the judge works on: per-visit values, and log-ratios of pairs inside one block.

A visit is (metric, backend, session, block). Several readings of one visit (twenty starts in a row) are one
value, their median: they are as close as samples can be and never count as independent. Performance is
turned so that larger is better: arm / baseline where higher is better, baseline / arm where lower is.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from bench.stats.location import Floats, Ints, locations_by_group

VISIT = ["metric", "backend", "cluster", "block"]
REQUIRED = (
    "run", "session", "block", "backend", "metric", "unit", "better", "value", "valid", "reason",
)  # fmt: skip


class SamplesError(Exception):
    """The samples are not of the shape the judge needs: names what is missing."""


class Visits(msgspec.Struct, frozen=True, kw_only=True):
    """All samples, sorted out.

    usable: valid samples with a finite value, columns VISIT + value. cells: their median per visit.
    lost: invalid or non-finite samples with a reason. unit, better: per metric.
    """

    usable: pd.DataFrame
    cells: pd.DataFrame
    lost: pd.DataFrame
    unit: dict[str, str]
    better: dict[str, str]
    metrics: tuple[str, ...]
    backends: tuple[str, ...]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What one test is made of: per-session locations and what was counted and lost on the way."""

    locations: Floats
    n_sessions: int
    n_pairs: int
    unfit: int = 0


def collect(samples: pd.DataFrame) -> Visits:
    """Check and sort out the samples (columns of bench.model.Sample, any order of rows). Raises SamplesError."""
    missing = [name for name in REQUIRED if name not in samples.columns]
    if missing:
        raise SamplesError(f"judge samples: columns missing: {', '.join(missing)}; give a samples.parquet")
    frame = pd.DataFrame({name: samples[name] for name in ("metric", "backend", "block", "reason")})
    frame["cluster"] = samples.groupby(["run", "session"], sort=True, observed=True).ngroup()
    frame["value"] = samples["value"].astype("float64")
    finite = np.isfinite(frame["value"].to_numpy())
    good = samples["valid"].to_numpy(dtype=bool) & finite
    lost = frame[~good].copy()
    lost.loc[lost["reason"] == "", "reason"] = "not a finite number"
    usable = frame.loc[good, [*VISIT, "value"]]
    cells = usable.groupby(VISIT, sort=True, observed=True)["value"].median().reset_index()
    first = samples.drop_duplicates("metric")
    return Visits(
        usable=usable,
        cells=cells,
        lost=lost,
        unit=dict(zip(first["metric"], first["unit"], strict=True)),
        better=dict(zip(first["metric"], first["better"], strict=True)),
        metrics=tuple(dict.fromkeys(samples["metric"])),
        backends=tuple(dict.fromkeys(samples["backend"])),
    )


def ratio_series(visits: Visits, baseline: str) -> dict[tuple[str, str], Series]:
    """Log performance ratios of every arm against `baseline`: {(metric, arm): Series}."""
    base = visits.cells[visits.cells["backend"] == baseline]
    arms = visits.cells[visits.cells["backend"] != baseline]
    both = arms.merge(base, on=["metric", "cluster", "block"], suffixes=("", "_base"))
    positive = ((both["value"] > 0) & (both["value_base"] > 0)).to_numpy()
    unfit = both[~positive].groupby(["metric", "backend"], observed=True).size().to_dict()
    fit = both[positive]
    lower = fit["metric"].map(visits.better).to_numpy() == "lower"
    logs = np.log(fit["value"].to_numpy()) - np.log(fit["value_base"].to_numpy())
    fit = fit.assign(log=np.where(lower, -logs, logs))
    series = _series(fit, "log")
    for key, count in unfit.items():
        old = series.get(key, Series(locations=np.empty(0), n_sessions=0, n_pairs=0))
        series[key] = msgspec.structs.replace(old, unfit=int(count))
    return series


def value_series(visits: Visits) -> dict[tuple[str, str], Series]:
    """Every backend's own values, one number a visit: {(metric, backend): Series} in the samples' unit."""
    return _series(visits.cells, "value")


def _series(frame: pd.DataFrame, column: str) -> dict[tuple[str, str], Series]:
    if frame.empty:
        return {}
    keys = frame.groupby(["metric", "backend"], sort=False, observed=True)
    codes: Ints = keys.ngroup().to_numpy(dtype=np.int64)
    clusters = frame["cluster"].to_numpy(dtype=np.int64)
    width = int(clusters.max()) + 1
    ids, locations = locations_by_group(frame[column].to_numpy(dtype=np.float64), codes * width + clusters)
    owner = ids // width
    names = frame[["metric", "backend"]].drop_duplicates().itertuples(index=False, name=None)
    counts = np.bincount(codes)
    return {
        (str(metric), str(backend)): Series(
            locations=locations[owner == code],
            n_sessions=int(np.count_nonzero(owner == code)),
            n_pairs=int(counts[code]),
        )
        for code, (metric, backend) in enumerate(names)
    }
