"""Looking at the data several times without erring more often: group-sequential bounds for Student's t.

A run may look after session `first`, `first` + 1, … `last`. By look n a share (n / last) ** RHO of alpha is
spent (Kim & DeMets 1987, Biometrika 74(1), 149–154). The level of each look is chosen so that the chance of a
*first* wrong call there equals what is spent there.

Textbooks do this recursion for normal scores (Armitage, McPherson & Rowe 1969, J. R. Statist. Soc. A 132,
235–244; Jennison & Turnbull 2000, ch. 19) and use the same levels for t. With the four to eight sessions at
the start of a run, that errs in up to 5.7 % instead of 5 %. So it is done for t itself, as in Jennison &
Turnbull (1991), Biometrika 78(1), 133–141. Of normal sessions with their mean on the margin, the t values are
a Markov chain whatever the variance: R_n = Σx / (√n |x|) is the cosine of the angle between the sessions and
(1, …, 1), t_n = R_n √((n − 1) / (1 − R_n²)), and given R_{n+1} all directions at that angle are equally
likely. So the last session's share of the length is

    u = (R_{n+1} + ξ √(n (1 − R_{n+1}²))) / √(n + 1),   density of ξ ∝ (1 − ξ²)^((n − 3) / 2),

and R_n = (√(n + 1) R_{n+1} − u) / √(n (1 − u²)). Walked backwards, this gives H_{n+1}(r) = P(no call at the
looks up to n | R_{n+1} = r) as an integral over H_n, and with it the chance of a first call at n + 1 beyond
any bound. Calls on the other side of the margin are not included: a run that they end can only err less.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec
import numpy as np
from scipy import special

from bench.stats.cluster import Interval, t_interval
from bench.stats.location import Floats

RHO = 1.5
"""How late alpha is spent. With 1, clear cases end up to half a session sooner, and close ones have an
interval 6 % wider; with 2 it is the other way round (table in docs/validation.md)."""

READ = 0.02
"""The level of each side of the interval to report after looks."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)
POINTS = 80
"""Points of δ; with twice as many points and nodes, no level changes by more than 1 in 10 000."""

UNIT = (NODES + 1.0) / 2.0
FAR = 6.5
"""Standard deviations at which tails are cut: 1e-10, below a ten-thousandth of any level in use."""


class _NoCall(msgspec.Struct, frozen=True):
    """H of one look: no call yet, given R. Above `top` it is 0: R cannot get there without an earlier call.

    Near `top` H falls like a square root, but as a function of the angle δ with R = top · cos δ it is smooth.
    So its values are kept from δ = 0 to `wide`, at equal steps of √δ, since small levels are at small angles.
    """

    top: float
    wide: float
    values: Floats


def level(alpha: float, look: int, first: int, last: int, *, final: bool) -> float:
    """Return the one-sided level of a bound at session `look` with which all looks together err in `alpha`.

    final: it is the last look for a reason other than the data (the plan or the clock ended), so the rest of
    alpha is spent there. Before `first` there is no look: nothing is spent (0), or everything if the run
    ended there. 0 < alpha < 1/2, 2 <= first.
    """
    if look < first or first >= last:
        return alpha if final or look >= last else 0.0
    looks = levels_of(alpha, first, last)
    going, ending = looks[min(look, last) - first]
    return ending if final else going


def spent(alpha: float, look: int, last: int, rho: float = RHO) -> float:
    """Return the error spent up to look `look` of `last`: alpha · (look / last) ** rho."""
    return float(alpha * (min(look, last) / last) ** rho)


def reading(locations: Floats, margin: float, judged: Interval) -> Interval:
    """Return an interval to report after looks, of about 95 % wherever the truth is. judged: the 95 % one by
    looks.

    `judged` (levels of 0.025 in total on each side) always holds, but is far too wide for a run that ended
    early, because its levels are for a truth at the margin. The plain t interval is too narrow, since a run
    ends where the data look clear. This one is between: READ on each side, widened to the margin if `judged`
    does not exclude it. In simulation (bench.stats.validate) it covers 94 to 97 %, and 97 to 99 % at the
    margin itself.
    """
    plain = t_interval(locations, READ)
    if not judged.low <= margin <= judged.high:
        return plain
    return msgspec.structs.replace(plain, low=min(plain.low, margin), high=max(plain.high, margin))


@lru_cache(maxsize=512)
def levels_of(alpha: float, first: int, last: int, rho: float = RHO) -> tuple[tuple[float, float], ...]:
    """Return (level if more looks may follow, level if it is the last) for each look; first < last."""
    before = spent(alpha, first, last, rho)
    found = [(before, alpha)]
    silent = _NoCall(1.0, math.pi, np.ones(4))
    tail = before
    for look in range(first + 1, last + 1):
        silent = _walk_back(silent, look - 1, tail)
        now = spent(alpha, look, last, rho)
        tail = _tail(silent, look, now - before)
        found.append((tail, tail if look == last else _tail(silent, look, alpha - before)))
        before = now
    return tuple(found)


def _tail(silent: _NoCall, look: int, chance: float) -> float:
    """Return the level whose bound is first passed at `look` with probability `chance`.

    ∫ H(δ) f(R) |dR/dδ| from 0 to δ = `chance`, f(r) ∝ (1 − r²)^((look − 3) / 2), solved by Newton steps in
    logarithms, kept inside (0, π/2).
    """
    low, high = 0.0, math.pi / 2
    delta = high / 2
    for _ in range(80):
        reached = float(WEIGHTS @ _first_calls(silent, look, delta * UNIT)) * delta / 2.0
        low, high = (delta, high) if reached < chance else (low, delta)
        slope = float(_first_calls(silent, look, np.array([delta]))[0]) * delta / max(reached, 1e-300)
        # In logarithms, because levels span powers of ten; at most a factor e per step, not to overshoot.
        step = math.log(chance / max(reached, 1e-300)) / max(slope, 1e-3)
        moved = delta * math.exp(max(-1.0, min(1.0, step)))
        delta, previous = (moved if low < moved < high else (low + high) / 2.0), delta
        if abs(delta - previous) < 1e-9 * delta:
            break
    r = silent.top * math.cos(delta)
    return float(special.stdtr(look - 1, -r * math.sqrt((look - 1) / (1.0 - r * r))))


def _first_calls(silent: _NoCall, look: int, delta: Floats) -> Floats:
    """Return the density over δ of R at `look`, without an earlier call."""
    r = silent.top * np.cos(delta)
    scale = math.exp(math.lgamma(look / 2) - math.lgamma((look - 1) / 2)) / math.sqrt(math.pi)
    density = scale * (1.0 - r * r) ** ((look - 3) / 2)
    return np.asarray(_interpolate(silent, delta) * density * silent.top * np.sin(delta))


def _walk_back(silent: _NoCall, n: int, tail: float) -> _NoCall:
    """Return H of look n + 1, from H of look n and the level `tail` used there."""
    t = -float(special.stdtrit(n - 1, tail))
    bound = t / math.sqrt(n - 1 + t * t)
    top = math.sqrt((1.0 + n * bound**2) / (n + 1))
    wide = math.acos(max(-1.0, -FAR / math.sqrt(n + 1) / top))
    grid = wide * np.linspace(0.0, 1.0, POINTS) ** 2
    after = top * np.cos(grid)
    # u = sin φ: R_n < bound where cos(φ − ψ) > √(n + 1) R_{n+1} / √(1 + n bound²) = cos δ, one interval.
    psi = math.atan2(1.0, bound * math.sqrt(n))
    ends = np.sin(np.clip(np.stack([psi - grid, psi + grid]), -math.pi / 2, math.pi / 2))
    room = np.sqrt(n * (1.0 - after**2))
    reach = min(math.pi / 2, FAR / math.sqrt(n - 1))
    low, high = np.clip(
        np.arcsin(np.clip((ends * math.sqrt(n + 1) - after) / room, -1.0, 1.0)), -reach, reach
    )
    chi = low[:, None] + (high - low)[:, None] * UNIT
    u = (after[:, None] + np.sin(chi) * room[:, None]) / math.sqrt(n + 1)
    r = (math.sqrt(n + 1) * after[:, None] - u) / np.sqrt(n * (1.0 - u**2))
    earlier = _interpolate(silent, np.arccos(np.clip(r / silent.top, -1.0, 1.0)))
    scale = math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2)) / math.sqrt(math.pi)
    kept = np.sum(WEIGHTS * np.cos(chi) ** (n - 2) * earlier, axis=1) * (high - low) / 2.0 * scale
    return _NoCall(top, wide, kept)


def _interpolate(silent: _NoCall, delta: Floats) -> Floats:
    """Interpolate H by a cubic through the four nearest points; beyond the last point it is constant."""
    values = silent.values
    place = np.sqrt(np.minimum(delta / silent.wide, 1.0)) * (values.size - 1)
    left = np.clip(place.astype(np.int64), 1, values.size - 3)
    x = place - left
    a, b, c, d = (values[left + shift] for shift in (-1, 0, 1, 2))
    ahead, behind = x - 1.0, x + 1.0
    further = x - 2.0
    return np.asarray(
        (behind * ahead * further * b - behind * x * further * c) / 2.0
        + (behind * x * ahead * d - x * ahead * further * a) / 6.0
    )
