"""Noise from recorded runs of two copies of the host, whose true ratio is exactly 1.

recorded.json holds, per metric and session, the log performance of `host` and `host-b` slice by slice,
relative to the metric's median. bench.stats.validate.record makes it from run directories.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from bench.stats.location import Floats

NAME = "recorded runs"
FILE = Path(__file__).with_name("recorded.json")


class RecordedSeries(msgspec.Struct, frozen=True):
    """One metric of one run: its sessions in order, each with the slices of both copies by block."""

    metric: str
    sessions: list[tuple[list[float], list[float]]]


class RecordingConditions(msgspec.Struct, frozen=True):
    """Where and when a run was recorded."""

    date: str
    kernel: str
    cpu: str
    cpus: int
    note: str


class Recording(msgspec.Struct, frozen=True):
    """The whole file."""

    conditions: list[RecordingConditions]
    series: list[RecordedSeries]


class _Parts(msgspec.Struct, frozen=True):
    """A series in parts: level and ratio of each session, and what each pair adds to both."""

    levels: Floats
    ratios: Floats
    common: tuple[Floats, ...]
    apart: tuple[Floats, ...]


@lru_cache(maxsize=1)
def recording() -> Recording:
    """Return the recorded noise that comes with the suite."""
    return msgspec.json.decode(FILE.read_bytes(), type=Recording)


def draw(rng: np.random.Generator, runs: int, sessions: int, pairs: int) -> tuple[Floats, Floats, Floats]:
    """(arm, host, drift) of `runs` runs, each of one metric; shapes as in `worlds.DrawnNoise`.

    A session's ratio, and the session whose pairs are drawn (with replacement), are chosen independently, and
    either copy may be the arm. So the truth is 0, and there are more kinds of sessions than were recorded.
    The drift is the recorded sequence of session levels, from a random place, back and forth.
    """
    shape = (runs, sessions, pairs)
    arm, host, drift = np.empty(shape), np.empty(shape), np.empty((runs, 2 * sessions * pairs))
    parts = _parts()
    chosen = rng.integers(0, len(parts), runs)
    for which, part in enumerate(parts):
        rows = np.flatnonzero(chosen == which)
        common, difference = _pairs(part, rng, (rows.size, sessions, pairs))
        arm[rows], host[rows] = common + difference / 2.0, common - difference / 2.0
        drift[rows] = _course(part, rng, rows.size, sessions, 2 * pairs)
    return arm, host, drift


def _pairs(part: _Parts, rng: np.random.Generator, shape: tuple[int, int, int]) -> tuple[Floats, Floats]:
    """What is common to both slices of a pair, and their difference."""
    size = part.ratios.size
    lengths = np.array([one.size for one in part.apart])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    owner = rng.integers(0, size, shape[:2])
    place = starts[owner][..., None] + (rng.random(shape) * lengths[owner][..., None]).astype(np.int64)
    common, apart = np.concatenate(part.common)[place], np.concatenate(part.apart)[place]
    flip, turn = (rng.choice([-1.0, 1.0], shape[:2]) for _ in range(2))
    ratio = part.ratios[rng.integers(0, size, shape[:2])] * turn
    return common, ratio[..., None] + apart * flip[..., None]


def _course(part: _Parts, rng: np.random.Generator, runs: int, sessions: int, slots: int) -> Floats:
    """The level of the machine at every slot, between the recorded sessions by straight lines."""
    size = part.levels.size
    swing = np.concatenate([part.levels, part.levels[-2:0:-1]])
    at = rng.integers(0, max(1, 2 * size - 2), (runs, 1)) + np.arange(sessions * slots) / slots
    return np.asarray(
        np.interp(at % max(1, swing.size), np.arange(swing.size + 1), np.append(swing, swing[0]))
    )


@lru_cache(maxsize=1)
def _parts() -> tuple[_Parts, ...]:
    found = []
    for series in recording().series:
        pairs = [(np.array(one), np.array(other)) for one, other in series.sessions]
        middles = [(one + other) / 2.0 for one, other in pairs]
        apart = [one - other for one, other in pairs]
        levels = np.array([np.median(one) for one in middles])
        ratios = np.array([np.median(one) for one in apart])
        found.append(
            _Parts(
                levels=levels,
                ratios=ratios,
                common=tuple(one - level for one, level in zip(middles, levels, strict=True)),
                apart=tuple(one - ratio for one, ratio in zip(apart, ratios, strict=True)),
            )
        )
    return tuple(found)
