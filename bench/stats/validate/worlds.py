"""Simulated noise: slices of two arms in time, with the drift that affects both. All numbers are logarithms.

A world draws the effect of each instance, of each slice, and of the machine over time. A design decides which
slice is when (bench.stats.validate.designs), so all designs have the same noise. The truth is 0 in every
world: a true ratio only shifts the arm's values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import signal

from bench.stats.location import Floats
from bench.stats.validate import recorded

Generator = np.random.Generator
Draw = Callable[[Generator, tuple[int, ...]], Floats]
Both = Callable[[Generator, tuple[int, ...]], tuple[Floats, Floats]]


class DrawnNoise(msgspec.Struct, frozen=True):
    """Slices of an arm and of the host, (runs, sessions, pairs), without drift; drift of (runs, slots).

    first: whether the arm came first in a pair. A pair has two slots.
    """

    arm: Floats
    host: Floats
    drift: Floats
    first: NDArray[np.bool_]


def draw(world: World, rng: Generator, runs: int, sessions: int, pairs: int) -> DrawnNoise:
    """Draw the noise of `runs` runs."""
    if world.name == recorded.NAME:
        arm, host, drift = recorded.draw(rng, runs, sessions, pairs)
    else:
        own, others = world.instances(rng, (runs, sessions))
        arm, host = world.slices(rng, (runs, sessions, pairs))
        arm, host = arm + own[..., None], host + others[..., None]
        drift = world.drift(rng, (runs, 2 * sessions * pairs))
    return DrawnNoise(arm, host, drift, rng.random((runs, sessions, pairs)) < 0.5)


def log_ratios(noise: DrawnNoise) -> Floats:
    """Return log-ratios of interleaved pairs, (runs, sessions, pairs); a pair has two neighbouring slots."""
    slots = noise.drift.reshape(*noise.arm.shape, 2)
    swing = slots[..., 0] - slots[..., 1]
    return np.asarray(noise.arm - noise.host + np.where(noise.first, swing, -swing))


def _normal(scale: float) -> Draw:
    return lambda rng, shape: scale * rng.standard_normal(shape)


def _each(own: Draw, other: Draw | None = None) -> Both:
    """Draw both arms independently, from one distribution unless the host has another."""
    return lambda rng, shape: (own(rng, shape), (other or own)(rng, shape))


def _drift(scale: float, memory: float) -> Draw:
    """A stationary first-order autoregression with standard deviation `scale` and a memory of `memory`
    slots."""
    keep = math.exp(-1.0 / memory)

    def make(rng: Generator, shape: tuple[int, ...]) -> Floats:
        steps = rng.standard_normal(shape) * math.sqrt(1.0 - keep**2)
        steps[..., 0] /= math.sqrt(1.0 - keep**2)
        return np.asarray(scale * signal.lfilter([1.0], [1.0, -keep], steps, axis=-1))

    return make


def _struck(share: float, most: float) -> Draw:
    """Slices with 1 % noise, of which a share is slowed by up to `most`."""

    def make(rng: Generator, shape: tuple[int, ...]) -> Floats:
        hit = (rng.random(shape) < share) * rng.uniform(0.0, most, shape)
        return 0.01 * rng.standard_normal(shape) - hit

    return make


def _leaving(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Slices twice as noisy in the first five sessions, (runs, sessions, pairs)."""
    beside = np.where(np.arange(shape[1]) < 5, 2.0, 1.0)[:, None]
    return np.asarray(0.007 * beside * rng.standard_normal(shape))


def _heavy(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return 0.007 * rng.standard_t(2.0, shape)


def _modes(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return -0.02 * rng.integers(0, 2, shape).astype(np.float64) + 0.002 * rng.standard_normal(shape)


def _uneven(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return 0.0035 * rng.standard_normal(shape) * np.where(rng.random(shape) < 0.25, 5.0, 1.0)


def _skewed(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Log-normal with skewness 1.75, centred on its mean."""
    return 0.02 * (math.exp(0.5**2 / 2) - rng.lognormal(0.0, 0.5, shape))


CALM = _drift(0.01, 200.0)
"""What every machine does: 1 % up and down over some hundred slices."""

LUCK = _each(_normal(0.007))
SLIGHT = _each(_normal(0.003))
SLICES = _each(_normal(0.01))


class World(msgspec.Struct, frozen=True, kw_only=True):
    """instances of both arms (runs, sessions), slices of both (runs, sessions, pairs), drift (runs, slots).

    sessions: of the fixed design; first, last: looks of the sequential one. alike: both arms have the same
    noise, like two copies of one arm. held: its figures must keep their bounds; a documented weakness is only
    shown.
    """

    name: str
    says: str
    instances: Both = SLIGHT
    slices: Both = SLICES
    drift: Draw = CALM
    sessions: int = 8
    first: int = 4
    last: int = 24
    alike: bool = True
    held: bool = True


WORLDS = (
    World(
        name="quiet machine",
        says="0.7 % a slice (1 % a pair), no instance differs",
        instances=_each(_normal(0.0)),
        slices=_each(_normal(0.007)),
    ),
    World(
        name="session effects",
        says="every instance is off by 0.7 % (1 % a session), 1 % a slice (1.4 % a pair)",
        instances=LUCK,
    ),
    World(
        name="autocorrelated drift",
        says="the machine drifts by 5 % over some hundred slices, instances 0.3 %, slices 1 %",
        drift=_drift(0.05, 100.0),
    ),
    World(
        name="3 % outliers",
        says="three slices in a hundred are slowed by up to 50 %",
        slices=_each(_struck(0.03, 0.5)),
    ),
    World(
        name="busy neighbour",
        says="one slice in ten is slowed by up to 40 %",
        slices=_each(_struck(0.1, 0.4)),
    ),
    World(
        name="heavy tails",
        says="slices spread like Student's t with two degrees of freedom",
        slices=_each(_heavy),
    ),
    World(
        name="idle neighbour leaves",
        says="0.7 % a slice, twice as much in the first five sessions, while a guest idles beside",
        instances=SLIGHT,
        slices=_each(_leaving),
        drift=CALM,
    ),
    World(
        name="bimodal instances",
        says="every second instance is 2 % slow, slices 1 %",
        instances=_each(_modes),
    ),
    World(
        name="unequal arms",
        says="the arm is three times as noisy as the host: instances 0.9 % to 0.3 %, slices 2.1 % to 0.7 %",
        instances=_each(_normal(0.009), _normal(0.003)),
        slices=_each(_normal(0.021), _normal(0.007)),
        alike=False,
    ),
    World(
        name="uneven sessions",
        says="one instance in four is five times as far off as the others",
        instances=_each(_uneven),
    ),
    World(
        name="few sessions",
        says="session effects; 4 sessions, or looks after 4 to 8",
        instances=LUCK,
        sessions=4,
        last=8,
    ),
    World(
        name="many sessions",
        says="session effects; 30 sessions, or looks after 4 to 30",
        instances=LUCK,
        sessions=30,
        last=30,
    ),
    World(
        name=recorded.NAME,
        says="sessions, slices and drift drawn from recorded runs of this suite, host against host",
    ),
    World(
        name="skewed luck",
        says="most instances of the arm are fine and a rare one is very slow (log-normal)",
        instances=_each(_skewed, _normal(0.0)),
        alike=False,
        held=False,
    ),
)

BOTH_SKEWED = World(
    name="skewed luck of both",
    says="skewed luck that may strike either of two copies",
    instances=_each(_skewed),
)

NOISES = tuple(world for world in WORLDS if world.name not in ("few sessions", "many sessions"))
"""Those whose noise differs, where the number of sessions is a matter of the design."""

BY_NAME = {world.name: world for world in (*WORLDS, BOTH_SKEWED)}
