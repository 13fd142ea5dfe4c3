"""The A/A control: is there any difference between two copies of the same arm, over all metrics at once?

Two tests share the error. (1) Each metric's t over session locations, with Holm over metrics: it detects a
single biased metric. (2) One t over sessions of the mean of all standardised metrics: it detects a small bias
common to all, which (1) cannot detect with few sessions. Each test has half of the level (Bonferroni).
Metrics may be correlated within a session: (1) allows any dependence, (2) uses one number per session.

With four sessions a standard deviation can be near zero by chance, and t becomes huge. Two floors prevent
that: the noise of a session's location, known from its pairs (`within`), and a constant `floor`, as in
Tusher, Tibshirani & Chu (2001), PNAS 98(9), 5116–5121, so that no run fails over a difference too small to
affect a verdict. Byte counts are multiples of pages and blocks and may agree exactly: for them (`counts`) the
p-value is at least the sign test's 2^(1−G).
"""

from __future__ import annotations

import math
import warnings

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.stats.location import Floats
from bench.stats.multiple import holm

FLOOR = math.log(1.0 / 0.99) / 4.0
"""Added to every standard deviation: a quarter of the margin of most verdicts."""

RESERVE = 0.25
"""Share of the promised error that is used; the rest is reserved for noise far from normal
(docs/method.md)."""


class ControlResult(msgspec.Struct, frozen=True, kw_only=True):
    """p-values with any leading shape (...): one joint, one of the common shift, one adjusted per metric."""

    joint: Floats
    common: Floats
    metrics: Floats
    shift: Floats


def joint_control(
    locations: Floats, within: Floats, floor: float, counts: NDArray[np.bool_] | None = None
) -> ControlResult:
    """Test log-ratios of shape (..., metrics, sessions) against 0; nan where a session lacks a metric.

    within: standard error of one session's location, shape (..., metrics), 0 where unknown.
    Per metric: t = mean / (w / √G) with w = max(s, within) + floor, two-sided, G − 1 degrees; Holm.
    Common, over the metrics that are not counts: c_g = mean of x_mg / w_m, then t over the sessions' c_g, its
    deviation with the same two floors. joint = min(1, 2 · min(common, smallest adjusted)); `shift` is the
    mean log-ratio over all metrics.
    """
    mask = np.zeros(locations.shape[-2], dtype=bool) if counts is None else counts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        sessions = np.sum(~np.isnan(locations), axis=-1)
        centres = np.nanmean(locations, axis=-1)
        deviation = np.nan_to_num(np.nanstd(locations, axis=-1, ddof=1))
        spread = np.maximum(deviation, within) + floor
        own = _two_sided(centres / (spread / np.sqrt(sessions)), sessions)
        noisy = ~mask
        common = _common(
            locations[..., noisy, :], spread[..., noisy], within[..., noisy] / spread[..., noisy], floor
        )
        shift = np.nanmean(centres, axis=-1)
    own = np.where(mask, np.maximum(own, 2.0 ** (1.0 - sessions)), own)
    adjusted = holm(own)
    smallest = np.minimum(common, np.min(adjusted, axis=-1, initial=1.0))
    return ControlResult(
        joint=np.minimum(1.0, 2.0 * smallest), common=common, metrics=adjusted, shift=np.asarray(shift)
    )


def within_error(deviation: Floats, pairs_per_session: Floats) -> Floats:
    """Standard error of one session's median, from the median absolute deviation of its pairs around it.

    1.2533 · 1.4826 · MAD / √(n − 1), 0 where a session has one pair. 1.4826 makes a MAD consistent with a
    normal standard deviation (Rousseeuw & Croux 1993, JASA 88, 1273–1283), √(π/2) = 1.2533 is the loss of the
    median against the mean, n − 1 accounts for the estimated centre.
    """
    free = np.maximum(pairs_per_session - 1.0, 1e-300)
    error = math.sqrt(math.pi / 2.0) * 1.4826 * deviation / np.sqrt(free)
    return np.asarray(np.where(pairs_per_session > 1.0, error, 0.0), dtype=np.float64)


def _common(locations: Floats, spread: Floats, within: Floats, floor: float) -> Floats:
    """p-value of a shift of all metrics at once; `within` is relative to `spread`."""
    metrics = locations.shape[-2]
    if metrics == 0:
        return np.ones(locations.shape[:-2])
    scores = np.nanmean(locations / spread[..., None], axis=-2)
    sessions = np.sum(~np.isnan(scores), axis=-1)
    known = np.sqrt(np.sum(within**2, axis=-1)) / metrics
    deviation = np.maximum(np.nan_to_num(np.nanstd(scores, axis=-1, ddof=1)), known)
    deviation = deviation + np.mean(floor / spread, axis=-1) / math.sqrt(metrics)
    return _two_sided(np.nanmean(scores, axis=-1) / (deviation / np.sqrt(sessions)), sessions)


def _two_sided(t: Floats, counts: NDArray[np.int64]) -> Floats:
    p = 2.0 * special.stdtr(np.maximum(counts - 1, 1), -np.abs(t))
    return np.asarray(np.where((counts < 2) | np.isnan(p), 1.0, p), dtype=np.float64)
