"""The study: verdicts of every design in every world, with a fixed number of sessions and with looks.

A true ratio only shifts the arm's values, so each noise is drawn once and evaluated at all true ratios. The
verdict is that of bench.judging: supported if the lower bound reaches the margin, refuted if the upper one
does not. Looks use the levels of bench.stats.sequential, for all designs alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from bench.stats.location import Floats
from bench.stats.sequential import READ, level
from bench.stats.validate import designs
from bench.stats.validate.designs import DESIGNS, Path
from bench.stats.validate.worlds import BY_NAME, DrawnNoise, World, draw

TRUTHS = (0.97, 0.98, 0.985, 0.99, 0.995, 1.00, 1.01, 1.02)
MARGIN = 0.99
ALPHA = 0.05
"""One-sided, as claims are judged."""
TAIL = 0.025
"""Each side of a 95 % interval."""
PAIRS = 6
LOSS, EVEN, EDGE = (TRUTHS.index(truth) for truth in (0.98, 1.00, MARGIN))
OFFSETS = tuple(math.log(truth / MARGIN) for truth in TRUTHS)


class VerdictCounts(msgspec.Struct, frozen=True):
    """Numbers of runs for one design in one world; arrays have one entry per true ratio, except `found`.

    covered, supported, refuted: with the fixed number of sessions (covered does not depend on the truth).
    found: refuted at 0.98 after a fixed 2, 3, … sessions. The others with looks: sessions is the sum of
    sessions taken. plain, repeated and read count the runs whose interval at the stop contains the truth: the
    95 % interval without looks, the one at the levels of the looks, and that of
    bench.stats.sequential.reading.
    """

    runs: int
    covered: int
    supported: Floats
    refuted: Floats
    found: Floats
    look_supported: Floats
    look_refuted: Floats
    sessions: Floats
    plain: Floats
    repeated: Floats
    read: Floats

    def __add__(self, other: VerdictCounts) -> VerdictCounts:
        fields = self.__struct_fields__
        return VerdictCounts(*(getattr(self, name) + getattr(other, name) for name in fields))


def tally(world: World, runs: int, rng: np.random.Generator) -> dict[str, VerdictCounts]:
    """Draw and count `runs` runs of a world, by design."""
    noise = draw(world, rng, runs, max(world.last, world.sessions), PAIRS)
    return {name: _count(world, *_PATHS[name](world, noise)) for name in DESIGNS}


def tally_chunk(job: tuple[str, int, int]) -> tuple[str, dict[str, VerdictCounts]]:
    """`tally` for a pool of processes: (world's name, runs, seed)."""
    name, runs, seed = job
    return name, tally(BY_NAME[name], runs, np.random.default_rng([seed, list(BY_NAME).index(name)]))


def _count(world: World, fixed: Path, looks: Path) -> VerdictCounts:
    """fixed: after the world's fixed number of sessions; looks: after each one from 2 on."""
    supported, refuted = _calls(fixed, np.array([ALPHA]))
    stops = _stops(world, looks.since(world.first))
    found = [_calls(looks.at(n), np.array([ALPHA]))[1][LOSS] for n in range(2, world.last + 1)]
    return VerdictCounts(
        fixed.centre.shape[0],
        int(np.count_nonzero(np.abs(fixed.centre) <= fixed.half_width(np.array([TAIL])))),
        supported,
        refuted,
        np.array(found),
        *stops,
    )


def _calls(path: Path, levels: Floats) -> tuple[Floats, Floats]:
    """(supported, refuted) by truth, of a path of one look."""
    centre, half = path.centre[:, 0], path.half_width(levels)[:, 0]
    return (
        np.array([np.count_nonzero(centre + offset - half >= 0.0) for offset in OFFSETS], dtype=np.float64),
        np.array([np.count_nonzero(centre + offset + half < 0.0) for offset in OFFSETS], dtype=np.float64),
    )


def _stops(world: World, path: Path) -> list[Floats]:
    """Where each run stops and what it says there: the fields of Counts from look_supported to read."""
    order = range(world.first, world.last + 1)
    bound = path.half_width(_levels(world, ALPHA))
    wide = path.half_width(_levels(world, TAIL))
    plain, narrow = (path.half_width(np.full(len(order), side)) for side in (TAIL, READ))
    rows = np.arange(path.centre.shape[0])
    found = []
    for offset in OFFSETS:
        above = path.centre + offset - bound >= 0.0
        decided = above | (path.centre + offset + bound < 0.0)
        stop = np.where(decided.any(axis=1), decided.argmax(axis=1), len(order) - 1)
        yes, any_call = above[rows, stop], decided[rows, stop]
        calls = np.count_nonzero(yes), np.count_nonzero(any_call & ~yes), np.sum(stop + world.first)
        widths = (one[rows, stop] for one in (plain, wide, narrow))
        found.append((*calls, *_covered(path.centre[rows, stop], offset, *widths)))
    return [np.array(column, dtype=np.float64) for column in zip(*found, strict=True)]


def _covered(
    centre: Floats, offset: float, plain: Floats, wide: Floats, narrow: Floats
) -> tuple[int, int, int]:
    """How many plain, repeated and read intervals hold the truth, 0; the margin lies at −offset."""
    miss, from_margin = np.abs(centre), np.abs(centre + offset)
    # Where the repeated interval holds the margin, the one to read reaches as far, on that side.
    kept = (from_margin <= wide) & (np.sign(centre) == np.sign(centre + offset))
    read = np.where(kept, np.maximum(narrow, from_margin), narrow)
    return (
        int(np.count_nonzero(miss <= plain)),
        int(np.count_nonzero(miss <= wide)),
        int(np.count_nonzero(miss <= read)),
    )


def _levels(world: World, alpha: float) -> Floats:
    return np.array(
        [level(alpha, n, world.first, world.last, final=False) for n in range(world.first, world.last + 1)]
    )


def _interleaved(world: World, noise: DrawnNoise) -> tuple[Path, Path]:
    path = designs.interleaved(noise)
    return path.at(world.sessions), path


def _pooled(world: World, noise: DrawnNoise) -> tuple[Path, Path]:
    path = designs.pooled(noise)
    return path.at(world.sessions), path


def _one_after_other(world: World, noise: DrawnNoise) -> tuple[Path, Path]:
    """With looks, all of the arm's sessions come first, and the looks are taken while the host's are."""
    fixed = designs.one_after_other(noise, world.sessions).at(world.sessions)
    return fixed, designs.one_after_other(noise, world.last)


_PATHS: dict[str, Callable[[World, DrawnNoise], tuple[Path, Path]]] = {
    designs.INTERLEAVED: _interleaved,
    designs.ONE_AFTER_OTHER: _one_after_other,
    designs.POOLED: _pooled,
}
