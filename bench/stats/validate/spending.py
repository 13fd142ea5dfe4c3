"""How late should alpha be spent? Early spending ends clear cases sooner, late spending keeps bounds
narrow."""

from __future__ import annotations

import numpy as np
from scipy import special

from bench.stats.sequential import levels_of
from bench.stats.validate.study import ALPHA
from bench.stats.validate.worlds import Generator

FIRST, LAST = 4, 24
POWERS = (1.0, 1.5, 2.0, 3.0)
DISTANCES = (0.5, 1.0, 2.0, 4.0)
"""From the truth to the margin, in standard deviations of a session."""


def stops(distance: float, runs: int, rng: Generator) -> dict[float, tuple[float, float]]:
    """Return, by power of the spending, mean sessions and share decided; normal sessions, looks 4 … 24."""
    count = np.arange(1, LAST + 1)
    x = rng.standard_normal((runs, LAST)) + distance
    mean, squares = np.cumsum(x, axis=1) / count, np.cumsum(x * x, axis=1)
    free = count[FIRST - 1 :] - 1.0
    error = np.sqrt((squares / count - mean**2)[:, FIRST - 1 :] / free)
    t = mean[:, FIRST - 1 :] / error
    found = {}
    for rho in POWERS:
        calls = t > -special.stdtrit(free, np.array(look_levels(rho)))
        stop = np.where(calls.any(axis=1), calls.argmax(axis=1), calls.shape[1] - 1) + FIRST
        found[rho] = float(stop.mean()), float(calls.any(axis=1).mean())
    return found


def look_levels(rho: float) -> list[float]:
    """Return the level of each look."""
    return [going for going, _ in levels_of(ALPHA, FIRST, LAST, rho)]


def widening(rho: float) -> float:
    """Return the half width at the last look, relative to a run without looks."""
    level = look_levels(rho)[-1]
    return float(special.stdtrit(LAST - 1.0, level) / special.stdtrit(LAST - 1.0, ALPHA))
