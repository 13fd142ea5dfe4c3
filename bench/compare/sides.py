"""One run for a comparison: its arms and metrics, with one number per session.

A metric is read on one of three scales, which depends on what it measures, never on the result:

- `ratio`: logarithm of the arm's performance relative to the host in the same block. For everything that
  takes time, starts included: a host that is slower today slows both sides, and the ratio does not change.
- `value`: logarithm of the arm's own value. For bytes, which do not drift with the host's speed and would
  only gain its noise; and if the host has no such metric.
- `difference`: the arm's own value. For counts that a claim limits absolutely (they may be 0), and if a value
  is not positive.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from bench.claims import Claims
from bench.judging.comparisons import SIZES, RunSeries
from bench.judging.pairs import Key, Series, Visits, collect, value_series
from bench.model import Metric, Role
from bench.stats.location import Floats
from bench.store import Loaded

Scale = Literal["ratio", "value", "difference"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A run's numbers. metrics: those of its plan; baseline: the host's arm; arms: the ordinary ones."""

    loaded: Loaded
    visits: Visits
    ratios: dict[Key, Series]
    values: dict[Key, Series]
    metrics: dict[str, Metric]
    baseline: str
    arms: tuple[str, ...]

    def role(self, metric: str) -> Role:
        """Return the role in the plan; metrics that are not in it are only shown."""
        return self.metrics[metric].role if metric in self.metrics else "info"

    def has(self, key: Key) -> bool:
        """Return whether there is a usable value of that metric on that arm."""
        return key in self.values and self.values[key].n_sessions > 0


def side(loaded: Loaded) -> Side:
    """Reduce a run to one number per session. Raises bench.judging.pairs.SamplesError."""
    visits = collect(loaded.samples)
    baseline = loaded.run.plan.baseline
    return Side(
        loaded=loaded,
        visits=visits,
        ratios=RunSeries(visits, copies=loaded.run.plan.counted).pooled(baseline),
        values=value_series(visits),
        metrics={metric.name: metric for metric in loaded.run.plan.metrics},
        baseline=baseline,
        arms=loaded.run.plan.systems,
    )


def scale_of(key: Key, old: Side, new: Side, claims: Claims) -> Scale:
    """Return the scale for one metric on one arm, the same for both runs."""
    metric, arm = key
    if any(claim.kind == "absolute" for claim in claims.of_metric(metric)):
        return "difference"
    paired = arm != old.baseline and all(one.ratios.get(key, Series()).n_sessions for one in (old, new))
    if paired and not is_size(metric, old):
        return "ratio"
    positive = all(bool(np.all(one.values[key].locations > 0)) for one in (old, new))
    return "value" if positive else "difference"


def locations(key: Key, scale: Scale, run: Side) -> Floats:
    """Return one number per session, shape (sessions,), larger is better: log-ratios, log-values or
    values."""
    if scale == "ratio":
        return run.ratios[key].locations
    own = run.values[key].locations
    turned = -1.0 if run.visits.better[key[0]] == "lower" else 1.0
    return turned * (np.log(own) if scale == "value" else own)


def pairs(key: Key, scale: Scale, run: Side) -> int:
    """Return the number of pairs or values in the sessions."""
    return (run.ratios if scale == "ratio" else run.values)[key].n_pairs


def is_size(metric: str, run: Side) -> bool:
    """Return whether a metric counts bytes."""
    return run.visits.unit.get(metric, "") in SIZES
