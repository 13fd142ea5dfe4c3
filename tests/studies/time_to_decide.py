"""How much a quick run decides, and how fast: simulated runs of CPU, memory and network on one system.

`python -m tests.studies.time_to_decide [runs]` walks real plans of the real scenarios on a
clock of its own, with made-up noise and the real judge, for several ways to share out the budget. It
chose the figures in bench/profiles.py and bench/plan.py: CORE_SHARE, LATER, sessions.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import claims, measure
from bench import plan as plans
from bench.cli.execute import _decide
from bench.measure.noise import Gauge, SliceConditions, SliceCounters
from bench.profiles import PROFILES, pace, visit_s
from bench.scenarios.base import Context, Reading, Scenario
from bench.scenarios.registry import SCENARIOS
from bench.testing import FakeClock, fake_arms
from tests.bench.walking import Bench

SPREAD = {"cpu": 0.015, "memory": 0.025, "network": 0.002, "startup": 0.1, "disk": 0.05, "check": 0.001}
"""Standard deviation of one visit's logarithm, by family."""

LUCK = 0.003
"""The same of an instance's own luck, for each metric and session."""

DEAR = 0.15
"""What a container's network costs in CPU seconds, which spread like a disk's: a clear refutation."""


PACES = {arm.backend: pace(arm) for arm in fake_arms(runtime="runtime")}


class Simulated:
    """A real scenario that only lets the clock run and draws its values."""

    def __init__(self, real: Scenario, rng: random.Random, noise: float) -> None:
        self.clock = FakeClock()
        self._real, self._rng, self._noise = real, rng, noise
        self._luck: dict[tuple[str, str, int], float] = {}
        self.name, self.family, self.metrics, self.kind = real.name, real.family, real.metrics, real.kind
        self.cost_s, self.every_nth_block, self.scales_work = (
            real.cost_s,
            real.every_nth_block,
            real.scales_work,
        )
        self.spec = real.spec

    def run(self, context: Context) -> list[Reading]:
        """One reading of each metric, larger is better turned as the metric has it."""
        backend = str(context.backend.name)
        self.clock.advance(visit_s(self._real, PACES[backend]) * self._rng.uniform(0.8, 1.1) + 0.01)
        return list(self._readings(backend, context))

    def _readings(self, backend: str, context: Context) -> Iterator[Reading]:
        for metric in self.metrics:
            dear = "cpu_per_gib" in metric.name
            spread = SPREAD["disk" if dear else self.family] * self._noise
            key = (metric.name, backend, context.session)
            better = self._luck.setdefault(key, self._rng.gauss(0.0, LUCK * self._noise))
            better += self._rng.gauss(0.0, spread) - (math.log1p(context.extra) if self.scales_work else 0.0)
            better -= DEAR if dear and backend == "runtime" else 0.0
            value = math.exp(-better if metric.better == "lower" else better)
            yield Reading(metric=metric.name, value=value, start_ns=0, duration_ns=100_000_000)


class Quiet(Gauge):
    """A host without other work."""

    def read(self) -> SliceCounters:
        """Nothing to read."""
        return SliceCounters()

    def conditions(self, before: SliceCounters, after: SliceCounters, duration_ns: int) -> SliceConditions:
        """Nothing to tell."""
        return SliceConditions()


def simulated(noise: float, seed: int) -> tuple[int, int, float]:
    """One run: pairs decided, pairs in all, seconds."""
    rng = random.Random(seed)
    families = ("cpu", "memory", "network")
    scenarios = [Simulated(one, rng, noise) for one in SCENARIOS if one.family in families]
    names = {"runtime": "runtime"}
    with tempfile.TemporaryDirectory() as where:
        bench = Bench(Path(where), scenarios, PROFILES["quick"], None, names, seed)
        for one in scenarios:
            one.clock = bench.clock
        told: list[measure.Tally] = []

        class Listens(measure.Observer):
            def looked(self, tally: measure.Tally) -> None:
                told.append(tally)

        decide = functools.partial(_decide, claims.load(), bench.plan)
        outcome = bench.run(observer=Listens(), gauge=Quiet(), decide=decide)
    return told[-1].decided, told[-1].pairs, outcome.seconds


def main(runs: int) -> None:
    """The table, a line for each way."""
    usual = PROFILES["quick"]
    for sessions, share, later, most in (
        (12, 0.7, 1, 8),
        (12, 0.5, 2, 8),
        (12, 0.5, 3, 12),
        (16, 0.4, 2, 8),
        (16, 0.4, 3, 12),
        (20, 0.4, 2, 8),
    ):
        plans.CORE_SHARE, plans.LATER = share, later  # type: ignore[attr-defined]
        PROFILES["quick"] = msgspec.structs.replace(usual, sessions=sessions, max_visits=most)
        print(f"at most {sessions} sessions, core {share:.0%}, later ×{later} up to {most}:", end="")
        for noise in (0.6, 1.0, 1.5):
            found = [simulated(noise, seed) for seed in range(runs)]
            decided = statistics.fmean(one[0] for one in found)
            seconds = statistics.fmean(one[2] for one in found)
            print(
                f"  noise ×{noise:g}: {decided:.1f} of {found[0][1]} in {seconds:.0f} s", end="", flush=True
            )
        print()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
