"""How often would the gate be wrong? Seeded simulation of two runs with many metrics and a known truth.

`python -m bench.compare.simulate` prints tables (a few minutes); `--write` puts them into docs/validation.md.
The tests run small versions.

Units: log-ratios of an arm against its host, one location per session.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.compare.change import Moments, p_values
from bench.model import Looks
from bench.stats.location import Floats
from bench.stats.multiple import holm
from bench.stats.sequential import level
from bench.stats.validate import page
from bench.stats.validate.table import markdown
from bench.stats.validate.worlds import NOISES, Generator, World, draw, log_ratios

PAIRS = 4
"""Pairs per session, about as many as in the quick profile."""


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs to be compared. ratio: the arm's true performance beside the host in OLD.

    kept: what NEW has of it in one metric, others: in the rest.
    looks: when both runs stop a metric, on its ratio against `margin`; None where all have all sessions.
    """

    world: World
    sessions: tuple[int, int] = (8, 8)
    metrics: int = 40
    ratio: float = 1.0
    kept: float = 1.0
    others: float = 1.0
    looks: Looks | None = None
    margin: float = 0.99
    alpha: float = 0.05


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of simulated gates. false: a metric that keeps the margin was called worse. found: metric 0 was.

    passed: nothing worse, every metric decided. sessions: mean number measured per metric.
    """

    false: float
    found: float
    passed: float
    sessions: float


def rates(design: Design, runs: int, seed: int, *, confirmed: bool = False) -> Rates:
    """Simulate `runs` gates. confirmed: what is worse is measured again in a second run (live)."""
    rng = np.random.default_rng(seed)
    effects = np.full(design.metrics, math.log(design.others))
    effects[0] = math.log(design.kept)
    old = _measured(design, rng, runs, design.sessions[0], np.zeros(design.metrics))
    new = _measured(design, rng, runs, design.sessions[1], effects)
    edge = math.log(design.margin)
    looked = design.looks is not None
    worse = holm(p_values(old, new, edge, "less", looked=looked)) <= design.alpha
    if confirmed:
        second = _measured(design, rng, runs, design.sessions[1], effects)
        worse &= _again(p_values(old, second, edge, "less", looked=looked), worse) <= design.alpha
    innocent = effects >= edge - 1e-12
    kept = p_values(old, new, edge, "greater", looked=looked) <= design.alpha
    return Rates(
        false=float(np.mean(np.any(worse & innocent, axis=1))),
        found=float(np.mean(worse[:, 0])),
        passed=float(np.mean(np.all(kept, axis=1))),
        sessions=float(np.mean(new[2])),
    )


def _again(p: Floats, suspected: NDArray[np.bool_]) -> Floats:
    """Apply Holm over the suspects of each gate; the others get 1."""
    adjusted = np.ones_like(p)
    for row in np.flatnonzero(np.any(suspected, axis=1)):
        adjusted[row, suspected[row]] = holm(p[row, suspected[row]])
    return adjusted


def _measured(design: Design, rng: Generator, runs: int, sessions: int, effects: Floats) -> Moments:
    """Return (mean, deviation, sessions), each (runs, metrics), of the sessions until each metric stopped."""
    pairs = log_ratios(draw(design.world, rng, runs * design.metrics, sessions, PAIRS))
    x = np.median(pairs, axis=-1).reshape(runs, design.metrics, sessions)
    x = x + (math.log(design.ratio) + effects)[:, None]
    counts = np.arange(1, sessions + 1)
    means = np.cumsum(x, axis=-1) / counts
    squares = np.cumsum(x**2, axis=-1) - counts * means**2
    deviations = np.sqrt(np.maximum(squares, 0.0) / np.maximum(counts - 1, 1))
    last = _stopped(design, means, deviations) - 1
    pick = last[..., None]
    return (
        np.take_along_axis(means, pick, -1)[..., 0],
        np.take_along_axis(deviations, pick, -1)[..., 0],
        (last + 1).astype(np.float64),
    )


def _stopped(design: Design, means: Floats, deviations: Floats) -> NDArray[np.int64]:
    """Return after how many sessions a look decided each metric, else all."""
    everything = means.shape[-1]
    stop = np.full(means.shape[:2], everything, dtype=np.int64)
    if design.looks is None:
        return stop
    edge = math.log(design.margin)
    for look in range(min(design.looks.last, everything) - 1, design.looks.first - 1, -1):
        spent = level(design.alpha, look, design.looks.first, design.looks.last, final=False)
        half = special.stdtrit(look - 1, 1.0 - spent) * deviations[..., look - 1] / math.sqrt(look)
        centre = means[..., look - 1]
        stop[(centre - half >= edge) | (centre + half < edge)] = look
    return stop


Table = tuple[str, list[str], list[list[str]]]

SESSIONS = ((4, 4), (8, 8), (4, 16), (16, 16))


def alarm_table(runs: int) -> Table:
    """False alarms: nothing changed, and every metric exactly on the margin (the worst case)."""
    rows = [
        [world.name, f"{old}, {new}", *(_percent(rates(one, runs, 1).false) for one in designs)]
        for world in NOISES
        for old, new in SESSIONS
        for designs in [
            [Design(world=world, sessions=(old, new), others=kept, kept=kept) for kept in (1.0, 0.99)]
        ]
    ]
    return "False `worse`, %", ["noise", "sessions", "nothing changed", "all on the margin"], rows


def power_table(runs: int) -> Table:
    """How often a loss in one metric of 40 is named, and how often a gate passes where nothing changed."""
    rows = []
    for world in NOISES:
        for old, new in SESSIONS[:2] + SESSIONS[3:]:
            cells = [
                _percent(rates(Design(world=world, sessions=(old, new), kept=kept), runs, 2).found)
                for kept in (0.97, 0.95, 0.90)
            ]
            passed = [
                _percent(rates(Design(world=world, sessions=(old, new), margin=margin), runs, 3).passed)
                for margin in (0.99, 0.97, 0.95)
            ]
            rows.append([world.name, f"{old}, {new}", " / ".join(cells), " / ".join(passed)])
    heads = ["noise", "sessions", "found: 3 / 5 / 10 % lost", "passed: margin 0.99 / 0.97 / 0.95"]
    return "True loss in one metric found, and gates passed where nothing changed, %", heads, rows


def looks_table(runs: int) -> Table:
    """The same where both runs stopped each metric by looks at its ratio."""
    looks = Looks(first=4, last=16)
    rows = []
    for world in NOISES:
        for ratio in (1.0, 0.99, 0.97):
            base = Design(world=world, sessions=(16, 16), ratio=ratio, looks=looks)
            on_margin = msgspec.structs.replace(base, kept=0.99, others=0.99)
            lost = msgspec.structs.replace(base, kept=0.95)
            same = rates(base, runs, 4)
            cells = [_percent(one) for one in (same.false, rates(on_margin, runs, 5).false)]
            rows.append(
                [
                    world.name,
                    f"{ratio:g}",
                    f"{same.sessions:.1f}",
                    *cells,
                    _percent(rates(lost, runs, 6).found),
                ]
            )
    heads = [
        "noise",
        "arm / host",
        "sessions",
        "false: nothing changed",
        "false: on the margin",
        "found: 5 % lost",
    ]
    return "Runs stopped by looks (4 to 16 sessions), %", heads, rows


def live_table(runs: int) -> Table:
    """One run against a confirmed one: what the second run costs in power and saves in false alarms."""
    rows = []
    for world in NOISES:
        on_margin = Design(world=world, kept=0.99, others=0.99)
        lost = Design(world=world, kept=0.95)
        cells = [_percent(rates(on_margin, runs, 7, confirmed=twice).false) for twice in (False, True)] + [
            _percent(rates(lost, runs, 8, confirmed=twice).found) for twice in (False, True)
        ]
        rows.append([world.name, *cells])
    heads = ["noise", "false: one run", "false: confirmed", "5 % found: one run", "5 % found: confirmed"]
    return "With and without a second run (8 sessions each, all on the margin), %", heads, rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


TABLES: dict[str, Callable[[int], Table]] = {
    "compare-alarms": alarm_table,
    "compare-power": power_table,
    "compare-looks": looks_table,
    "compare-confirmed": live_table,
}
"""Marker in docs/validation.md → what makes its table."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print all tables as Markdown; write them into the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare.simulate", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="gates a cell, 500 by default")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/validation.md")
    options = parser.parse_args(arguments)
    made = {}
    for name, build in TABLES.items():
        title, heads, rows = build(options.runs)
        made[name] = markdown(heads, rows)
        sys.stdout.write(f"**{title}**\n\n{made[name]}\n\n")
        sys.stdout.flush()
    if options.write:
        page.write(made)


if __name__ == "__main__":
    main()
