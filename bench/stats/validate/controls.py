"""How often the A/A control fails by chance, and what bias it finds; how often a bound on a tail is wrong."""

from __future__ import annotations

import numpy as np
from scipy import stats as sps

from bench.stats.control import FLOOR, RESERVE, joint_control, within_error
from bench.stats.multiple import holm
from bench.stats.quantile import quantile_bounds
from bench.stats.validate.worlds import BOTH_SKEWED, WORLDS, Generator, World, draw, log_ratios

CONTROL_WORLDS = (*(world for world in WORLDS if world.alike and world.sessions == 8), BOTH_SKEWED)
"""Worlds in which both arms have the same noise. Those that differ only in the number of sessions are left
out."""

PROMISE = 0.01
"""The control fails by chance in at most one run in a hundred."""

PAIRS = 4
COPIES = 2
"""Pairs of copies in a run: of the host and of the runtime."""


def control_rate(
    world: World, sessions: int, metrics: int, runs: int, rng: Generator, bias: float = 0.0
) -> float:
    """Return the share of runs whose A/A control fails at the judge's level, with all metrics from `world`.

    Two pairs of copies with `metrics` metrics each; the bias is in all metrics of the first pair. Combined as
    in bench.judging.control: Holm over the metrics of both, Holm over the two common shifts, half of the
    level for each.
    """
    shape = (runs, COPIES, metrics, sessions, PAIRS)
    x = log_ratios(draw(world, rng, runs * COPIES * metrics, sessions, PAIRS)).reshape(shape)
    x[:, 0] += bias
    locations = np.median(x, axis=-1)
    deviation = np.median(np.abs(x - locations[..., None]).reshape(runs, COPIES, metrics, -1), axis=-1)
    within = within_error(deviation, np.full(metrics, float(PAIRS)))
    whole = (runs, COPIES * metrics)
    own = joint_control(locations.reshape(*whole, sessions), within.reshape(whole), FLOOR).metrics
    common = holm(joint_control(locations, within, FLOOR).common)
    smallest = np.minimum(own.min(axis=-1), common.min(axis=-1))
    return float(np.mean(2.0 * smallest <= RESERVE * PROMISE))


def quantile_rates(
    q: float, sessions: int, starts: int, luck: float, runs: int, rng: Generator
) -> tuple[float, float]:
    """(share with the true q-quantile above `high`, share below `low`); log-normal starts, session luck."""
    groups = np.repeat(np.arange(sessions), starts)
    truth = float(np.exp(sps.norm.ppf(q) * np.hypot(luck, 0.2)))
    above = below = 0
    for _ in range(runs):
        logs = luck * rng.standard_normal(sessions)[groups] + 0.2 * rng.standard_normal(groups.size)
        bounds = quantile_bounds(np.exp(logs), groups, q, 0.05)
        above += bounds.high < truth
        below += bounds.low > truth
    return above / runs, below / runs
