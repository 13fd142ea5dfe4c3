"""Tables in Markdown from the counts, and checks of every figure against its bound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from bench.stats.location import Floats
from bench.stats.validate import designs
from bench.stats.validate.study import EDGE, EVEN, LOSS, TRUTHS, VerdictCounts
from bench.stats.validate.worlds import WORLDS, World

Results = dict[str, dict[str, VerdictCounts]]
"""By world, by design."""

FALSE = 0.05
COVERAGE = (0.94, 0.97)
TWO_SIDED = 0.95
POWER = 0.90
ERRORS = 3.0
"""Standard errors by which a figure may exceed its bound, because over a hundred figures are checked."""


class FigureCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One figure and its bounds."""

    row: str
    figure: str
    value: float
    low: float
    high: float
    runs: int

    @property
    def error(self) -> float:
        """Standard error of a share of `runs`."""
        return math.sqrt(max(self.value * (1.0 - self.value), 1.0 / self.runs) / self.runs)

    @property
    def holds(self) -> bool:
        """Whether it is within the bounds, up to chance."""
        slack = ERRORS * self.error
        return self.low - slack <= self.value <= self.high + slack

    def __str__(self) -> str:
        return (
            f"{self.row}: {self.figure} is {100 * self.value:.2f} % ± {100 * self.error:.2f} %, "
            f"bounds {100 * self.low:g} % to {100 * self.high:g} %"
        )


def checks(results: Results) -> list[FigureCheck]:
    """Return the checks of the suite's own design, in worlds whose figures must keep their bounds."""
    found: list[FigureCheck] = []
    for world in WORLDS:
        if world.held and world.name in results:
            found += _checks_of(world, results[world.name][designs.INTERLEAVED])
    return found


def _checks_of(world: World, counts: VerdictCounts) -> Iterable[FigureCheck]:
    runs = counts.runs
    fixed, looks = f"{world.name}, {world.sessions} sessions", f"{world.name}, looks"

    def check(row: str, figure: str, value: float, low: float, high: float) -> FigureCheck:
        return FigureCheck(row=row, figure=figure, value=value / runs, low=low, high=high, runs=runs)

    yield check(fixed, "coverage", counts.covered, *COVERAGE)
    yield check(fixed, "false supported", counts.supported[EDGE], 0.0, FALSE)
    yield check(fixed, "false refuted", counts.refuted[EDGE], 0.0, FALSE)
    yield check(looks, "false supported", counts.look_supported[EDGE], 0.0, FALSE)
    yield check(looks, "false refuted", counts.look_refuted[EDGE], 0.0, FALSE)
    for place, truth in enumerate(TRUTHS):
        yield check(looks, f"coverage by looks at {truth:g}", counts.repeated[place], TWO_SIDED, 1.0)
        most = 1.0 if place == EDGE else COVERAGE[1]
        yield check(looks, f"coverage to read at {truth:g}", counts.read[place], COVERAGE[0], most)


def fixed_table(results: Results) -> str:
    """The suite's own design with a fixed number of sessions."""
    heads = ["noise", "sessions", "coverage", "false supported", "false refuted"]
    heads += ["refuted at 0.98", "supported at 1.00", "sessions for 90 % at 0.98"]
    rows = []
    for world, counts in _own(results):
        shown = (counts.covered, counts.supported[EDGE], counts.refuted[EDGE])
        power = (counts.refuted[LOSS], counts.supported[EVEN])
        rows.append(
            [world.name, str(world.sessions), *_shares(counts, *shown, *power), sessions_for_power(counts)]
        )
    return markdown(heads, rows)


def looks_table(results: Results) -> str:
    """The suite's own design with looks."""
    heads = ["noise", "looks", "false supported", "false refuted", "refuted at 0.98", "supported at 1.00"]
    heads += ["sessions at 0.98 / 0.99 / 1.00", "plain interval", "repeated interval", "interval to read"]
    rows = []
    for world, counts in _own(results):
        taken = [f"{counts.sessions[truth] / counts.runs:.1f}" for truth in (LOSS, EDGE, EVEN)]
        intervals = (counts.plain, counts.repeated, counts.read)
        calls = (counts.look_supported[EDGE], counts.look_refuted[EDGE])
        power = (counts.look_refuted[LOSS], counts.look_supported[EVEN])
        row = [world.name, f"{world.first}–{world.last}", *_shares(counts, *calls, *power), " / ".join(taken)]
        rows.append([*row, *(_span(one, counts) for one in intervals)])
    return markdown(heads, rows)


def designs_table(results: Results) -> str:
    """What the two other designs get wrong on the same noise."""
    others = (designs.ONE_AFTER_OTHER, designs.POOLED)
    heads = ["noise"]
    for name in others:
        heads += [f"{name}: coverage", "false, fixed", "false, looks", "refuted at 0.98"]
    rows = []
    for world in WORLDS:
        if world.name in results:
            row = [world.name]
            for name in others:
                counts = results[world.name][name]
                fixed = counts.supported[EDGE], counts.refuted[EDGE]
                looks = counts.look_supported[EDGE], counts.look_refuted[EDGE]
                row += _shares(counts, counts.covered)
                row += [" / ".join(_shares(counts, *calls)) for calls in (fixed, looks)]
                row += _shares(counts, counts.refuted[LOSS])
            rows.append(row)
    return markdown(heads, rows)


def sessions_for_power(counts: VerdictCounts) -> str:
    """The smallest fixed number of sessions that finds a 2 % loss in 90 % of runs."""
    enough = counts.found / counts.runs >= POWER
    return str(2 + int(np.argmax(enough))) if enough.any() else f"over {counts.found.size + 1}"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(*rates: float) -> str:
    """Shares in per cent, one digit, apart by a slash."""
    return " / ".join(f"{100 * rate:.1f}" for rate in rates)


def _own(results: Results) -> Iterable[tuple[World, VerdictCounts]]:
    for world in WORLDS:
        if world.name in results:
            yield world, results[world.name][designs.INTERLEAVED]


def _shares(counts: VerdictCounts, *numbers: float) -> list[str]:
    """Numbers of runs as percentages of all."""
    return [percent(number / counts.runs) for number in numbers]


def _span(numbers: Floats, counts: VerdictCounts) -> str:
    """Lowest and highest over the true ratios off the margin; at the margin."""
    shares = numbers / counts.runs
    off = np.delete(shares, EDGE)
    return f"{percent(float(off.min()))}–{percent(float(off.max()))}; {percent(float(shares[EDGE]))}"
