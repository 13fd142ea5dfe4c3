"""What the plan of a run adds to its looks: unequal numbers of pairs, giving up, copies that count.

Each is simulated by itself at the looks of a quick run, in the same worlds as everything else. Giving up
reads the noise, and of the estimate only whether it brings a verdict nearer; what is given up is
inconclusive.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.stats.location import Floats
from bench.stats.power import HOPE, lower_share
from bench.stats.sequential import level
from bench.stats.validate.study import ALPHA, EDGE, EVEN, LOSS, MARGIN, OFFSETS
from bench.stats.validate.worlds import DrawnNoise, Generator, World, draw, log_ratios

FIRST, LAST = 8, 16
FEW, MANY = 2, 6
"""Pairs of a session before the first look, and after it where pairs are what is noisy."""

PAIRS, GIVEN_UP, COPIES = RULES = ("two pairs, then six", "given up by noise", "copies count")
TRUTHS = (LOSS, EDGE, EVEN)
CORRELATION = 0.05
"""Between a verdict's estimate and what the copies differ by, at most."""

WIDE = 0.2
"""Of runs: those in which the control differs most. False verdicts must be no more frequent there."""


class RuleCounts(msgspec.Struct, frozen=True):
    """Runs by true ratio (0.98, 0.99, 1): supported, refuted, given up. correlation, wide: of copies; the
    share of false verdicts at 0.99 in runs whose control differs most, on the worse side."""

    runs: int
    supported: tuple[int, ...]
    refuted: tuple[int, ...]
    given_up: tuple[int, ...]
    correlation: float = 0.0
    wide: float = 0.0


def tally(world: World, rule: str, runs: int, rng: Generator) -> RuleCounts:
    """Draw and count the runs of one rule in one world."""
    noise = draw(world, rng, runs, LAST, MANY)
    x = _medians(log_ratios(noise))
    control = np.zeros(runs)
    if rule == COPIES:
        other = draw(world, rng, runs, LAST, MANY)
        x = (x + _medians(log_ratios(other))) / 2.0
        control = _medians(_apart(noise, other)).mean(axis=1)
    found = [_calls(x, OFFSETS[truth], rule == GIVEN_UP) for truth in TRUTHS]
    far = np.abs(control) >= np.quantile(np.abs(control), 1 - WIDE)
    edge = found[TRUTHS.index(EDGE)]
    supported, refuted, given_up = (tuple(int(one[part].sum()) for one in found) for part in range(3))
    return RuleCounts(
        runs,
        supported,
        refuted,
        given_up,
        correlation=_rank_correlation(x.mean(axis=1), control) if rule == COPIES else 0.0,
        wide=max(float(edge[part][far].mean()) for part in (0, 1)),
    )


def _medians(x: Floats) -> Floats:
    """Medians of sessions, (runs, sessions): of few pairs before the first look, of many after it."""
    early = np.median(x[:, :FIRST, :FEW], axis=-1)
    return np.concatenate([early, np.median(x[:, FIRST:], axis=-1)], axis=1)


def _rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's: heavy tails would make Pearson's a matter of a few runs."""
    first, second = (np.argsort(np.argsort(values)).astype(np.float64) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def _apart(one: DrawnNoise, other: DrawnNoise) -> Floats:
    """The host's second copy against it, in each block."""
    return np.asarray(other.host - one.host)


def _calls(x: Floats, offset: float, gives_up: bool) -> tuple[NDArray[np.bool_], ...]:
    """(supported, refuted, given up) of each run; offset: of the truth from the margin."""
    count = np.arange(FIRST, LAST + 1)
    mean = np.cumsum(x, axis=1)[:, FIRST - 1 :] / count
    squares = np.cumsum(x * x, axis=1)[:, FIRST - 1 :]
    deviation = np.sqrt(np.maximum(squares - count * mean**2, 0.0) / (count - 1))
    levels = np.array([level(ALPHA, int(n), FIRST, LAST, final=False) for n in count])
    half = -special.stdtrit(count - 1.0, levels) * deviation / np.sqrt(count)
    above, below = mean + offset - half >= 0.0, mean + offset + half < 0.0
    hopeless = _hopeless(mean + offset, deviation, levels) if gives_up else np.zeros_like(above)
    stops = above | below | hopeless
    stop = np.where(stops.any(axis=1), stops.argmax(axis=1), count.size - 1)
    rows = np.arange(x.shape[0])
    yes, no = above[rows, stop], below[rows, stop]
    return yes, no, hopeless[rows, stop] & ~yes & ~no


def _hopeless(apart: Floats, deviation: Floats, levels: Floats) -> NDArray[np.bool_]:
    """Whether no later look is likely passed, were the noise at its lower bound; (runs, looks)."""
    count = np.arange(FIRST, LAST + 1)
    distance = np.maximum(np.abs(apart), abs(math.log(MARGIN)))
    low = deviation * np.sqrt([lower_share(int(n) - 1) for n in count])
    best = np.zeros_like(apart)
    for look in range(1, count.size):
        n = float(count[look])
        shift = np.sqrt(n) * distance[:, :look] / np.maximum(low[:, :look], 1e-12)
        critical = -special.stdtrit(n - 1.0, levels[look])
        chance = 1.0 - np.nan_to_num(special.nctdtr(n - 1.0, np.minimum(shift, 30.0), critical))
        best[:, :look] = np.maximum(best[:, :look], chance)
    best[:, -1] = 1.0
    return np.asarray(best < HOPE)
