"""Other estimators for the same interleaved pairs: why the judge uses session medians and Student's t."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats as sps

from bench.stats.location import Floats, hodges_lehmann
from bench.stats.validate.study import ALPHA, PAIRS
from bench.stats.validate.worlds import Generator, World, draw, log_ratios

Bounds = tuple[Floats, Floats]
RESAMPLES = 400


def pooled_t(x: Floats, _rng: Generator) -> Bounds:
    """Student's t over all pairs as if they were independent, which is wrong."""
    return student(x.reshape(x.shape[0], -1))


def median_t(x: Floats, _rng: Generator) -> Bounds:
    """t over session medians: the judge's own method (bench.stats.cluster.t_interval)."""
    return student(np.median(x, axis=-1))


def hodges_t(x: Floats, _rng: Generator) -> Bounds:
    """t over session Hodges–Lehmann estimates."""
    return student(hodges_lehmann(x))


def percentile(x: Floats, rng: Generator) -> Bounds:
    """Percentile bootstrap over sessions of the mean of session medians (Efron & Tibshirani 1993, ch. 13)."""
    locations = np.median(x, axis=-1)
    runs, count = locations.shape
    pick = rng.integers(0, count, (runs, RESAMPLES, count))
    means = np.take_along_axis(locations[:, None, :], pick, axis=-1).mean(axis=-1)
    low, high = np.quantile(means, [ALPHA, 1 - ALPHA], axis=-1)
    return low, high


def wild(x: Floats, rng: Generator) -> Bounds:
    """Studentised wild cluster bootstrap, Webb's six points (Cameron, Gelbach & Miller 2008; Webb 2014)."""
    locations = np.median(x, axis=-1)
    runs, count = locations.shape
    centre = locations.mean(axis=1, keepdims=True)
    points = np.sqrt(np.array([0.5, 1.0, 1.5]))
    weights = rng.choice(np.concatenate([points, -points]), (runs, RESAMPLES, count))
    fake = (locations - centre)[:, None, :] * weights
    t = fake.mean(axis=-1) / (fake.std(axis=-1, ddof=1) / np.sqrt(count))
    error = locations.std(axis=1, ddof=1) / np.sqrt(count)
    lower, upper = np.quantile(t, [ALPHA, 1 - ALPHA], axis=-1)
    return centre[:, 0] - upper * error, centre[:, 0] - lower * error


METHODS: dict[str, Callable[[Floats, Generator], Bounds]] = {
    "median + t": median_t,
    "HL + t": hodges_t,
    "pooled pairs + t": pooled_t,
    "median + percentile": percentile,
    "median + wild": wild,
}


def student(locations: Floats) -> Bounds:
    """Bounds of `t_interval` for many runs at once: shape (runs, clusters)."""
    count = locations.shape[1]
    half = sps.t.ppf(1 - ALPHA, count - 1) * locations.std(axis=1, ddof=1) / np.sqrt(count)
    centre = locations.mean(axis=1)
    return centre - half, centre + half


def false_rates(
    world: World, sessions: int, runs: int, rng: Generator, pairs: int = PAIRS
) -> dict[str, tuple[float, float, float]]:
    """By method: (false supported, false refuted, mean distance of the low bound), truth on the margin."""
    x = log_ratios(draw(world, rng, runs, sessions, pairs))
    bounds = {name: method(x, rng) for name, method in METHODS.items()}
    return {
        name: (float(np.mean(low > 0)), float(np.mean(high < 0)), float(np.mean(-low)))
        for name, (low, high) in bounds.items()
    }
