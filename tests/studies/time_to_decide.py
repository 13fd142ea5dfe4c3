"""How much a default run decides, and how fast: simulated runs of the real plan on a clock of its own.

    python -m tests.studies.time_to_decide [--runs 10] [--noise 0.7,1,1.5] [--json FILE]

Arms, scenarios, plan, looks and judge are the real ones of `ninetynine run`: guests, daemons and disks are
among them. Only the slices are made up: they take as long as they took in a default run on two quiet CPUs,
and their values have the noise of several such runs (medians; `--noise` multiplies it). What a container's
network costs in CPU seconds is the one clear loss; everything else of the runtime is as fast as the host.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench import claims, journal, measure, store
from bench.backends.base import Instance
from bench.cli import setup
from bench.cli.execute import _decide
from bench.journal import Journal, RunLine
from bench.judge import judge
from bench.measure.noise import Gauge, SliceConditions, SliceCounters
from bench.model import ALL, JOINT, POSITIVE, Metric, Plan, Verdict
from bench.plan import make_plan
from bench.profiles import PROFILES, pace, visit_s
from bench.scenarios.base import Context, Reading, Scenario
from bench.scenarios.registry import SCENARIOS
from bench.testing import FakeBackend, FakeClock, FakeInstance, fake_arms, fake_image, fake_run

ARMS = fake_arms(runtime="runtime", nnd="nnd", vm="vm-tcg")

SECONDS = {
    "cpu.integer": 0.13,
    "cpu.float": 0.13,
    "cpu.crypto": 0.125,
    "memory.bandwidth": 0.21,
    "memory.latency": 0.11,
    "network.throughput": 0.19,
    "network.throughput_10g": 0.272,
    "disk.image": 0.55,
    "disk.layer": 0.6,
    "disk.volume": 0.6,
}
"""Of a visit of a fast arm, where it is known; elsewhere the forecast."""

GUEST_SECONDS = {
    "startup.first_instruction": 1.9,
    "startup.first_byte": 2.7,
    "memory.per_instance": 1.8,
    "disk.extra_instance": 4.2,
}
GUEST_PACE = 0.75
"""Of other visits of the guest, over the forecast."""

STARTS = {"host": 0.03, "runtime": 0.05, "nnd": 0.1, "vm": 1.7}
"""Seconds until an instance and its worker are up."""

STARTS_A_VISIT = {"startup.first_instruction": 20, "startup.first_instruction.paced": 4}
"""Readings of one visit, of fast arms."""

SPREAD = {
    "cpu.integer": 0.009,
    "cpu.float": 0.012,
    "cpu.crypto": 0.011,
    "cpu": 0.03,
    "memory.bandwidth": 0.025,
    "memory.latency": 0.014,
    "memory": 0.02,
    "network.throughput": 0.001,
    "network.cpu_per_gib": 0.07,
    "network": 0.05,
    "disk.randread": 0.08,
    "disk.randwrite": 0.08,
    "disk": 0.25,
    "disk.extra_instance": 0.02,
    "startup": 0.15,
    "engine": 0.1,
    "image": 0.02,
    "check": 0.0005,
}
"""Standard deviation of a pair's logarithm without its tails, by the longest name that fits."""

ONE_AFTER_THE_OTHER = 4.0
"""How much wider pairs of slices that could run by turns are where a guest takes part and they do not."""

TAILS = {"memory.bandwidth": (0.02, 0.1), "memory.latency": (0.02, 0.1)}
"""Share of slices that something strikes, and the most that they lose."""

LUCK = {"cpu": 0.002, "memory": 0.004}
"""Standard deviation of an instance's own luck."""

DEAR = {"network.cpu_per_gib.bridge": 0.09, "network.cpu_per_gib.nat": 0.10}
"""What the runtime's network loses."""

VALUES = {
    "memory.per_instance": (2e6, 2e8),
    "disk.extra_instance": (4096.0, 9e5),
    "disk.copy_up": (4096.0, 9e5),
    "image.pull": (1.01, 1.01),
    "image.push": (1.01, 1.01),
    "image.changed_files": (0.0, 0.0),
    "image.disk_per_container": (3e4, 3e4),
    "startup": (1e-3, 2.0),
    "engine": (2e-2, 2e-2),
    "check.same_output": (7.0, 7.0),
    "check.clock_rate": (1.0, 1.0),
}
"""(of a container, of a guest), by the longest name that fits; others are 1, and a guest's a fifth."""


def _longest(table: Mapping[str, object], name: str) -> str:
    """The longest key that a name begins with; empty for none."""
    fits = [key for key in table if name == key or name.startswith((f"{key}.", f"{key}_"))]
    return max(fits, key=len, default="")


class Simulated:
    """A real scenario that only lets the clock run and draws its values."""

    def __init__(self, real: Scenario, clock: FakeClock, seed: int, noise: float) -> None:
        self._real, self._clock, self._seed, self._noise = real, clock, seed, noise
        self._rng = random.Random(f"{seed} {real.name}")
        self._luck: dict[tuple[str, str, int], float] = {}
        self.name, self.family, self.metrics, self.kind = real.name, real.family, real.metrics, real.kind
        self.cost_s, self.every_nth_block = real.cost_s, real.every_nth_block
        self.scales_work, self.spec = real.scales_work, real.spec
        self.by_turns, self.from_start = real.by_turns, real.from_start

    def run(self, context: Context) -> list[Reading]:
        """One reading of each metric; larger is better, turned as the metric has it."""
        backend = str(context.backend.name)
        rng = self._drawn(backend, context)
        self._clock.advance(self._seconds(backend) * rng.uniform(0.9, 1.1))
        return list(self._readings(backend, context, rng))

    def of_start(self, instance: Instance) -> list[Reading]:
        """Of a guest, whose start is on the clock already."""
        noise = math.exp(self._noise * self._rng.gauss(0.0, SPREAD["startup"] / math.sqrt(2)))
        return [_reading(metric, _value(metric.name, guest=True) * noise) for metric in self.metrics]

    def _drawn(self, backend: str, context: Context) -> random.Random:
        """What draws a slice's noise: by turns, slices are in threads, whose order nobody knows."""
        if context.turns is None:
            return self._rng
        place = (self.name, backend, context.session, context.block, context.turns.index)
        return random.Random(f"{self._seed} {place}")

    def _seconds(self, backend: str) -> float:
        arm = next(arm for arm in ARMS if arm.backend == backend)
        if backend == "vm":
            return GUEST_SECONDS.get(self.name, GUEST_PACE * visit_s(self._real, pace(arm)))
        known = _longest(SECONDS, self.name)
        return SECONDS[known] if known else visit_s(self._real, pace(arm))

    def _readings(self, backend: str, context: Context, rng: random.Random) -> Iterator[Reading]:
        guest = backend == "vm"
        starts = 1 if guest else STARTS_A_VISIT.get(self.name, 1)
        for metric in self.metrics * starts:
            value = _value(metric.name, guest=guest)
            if _longest(VALUES, metric.name) not in ("check.same_output", "image.changed_files"):
                better = self._better(metric.name, backend, context, rng)
                value *= math.exp(-better if metric.better == "lower" else better)
            yield _reading(metric, value)

    def _better(self, metric: str, backend: str, context: Context, rng: random.Random) -> float:
        family = metric.partition(".")[0]
        lucky = random.Random(f"{self._seed} {metric} {backend} {context.session}")
        spread = SPREAD.get(_longest(SPREAD, metric), 0.02)
        if self.by_turns and context.turns is None:
            spread *= ONE_AFTER_THE_OTHER
        luck = lucky.gauss(0.0, LUCK.get(family, 0.0))
        better = self._noise * (luck + rng.gauss(0.0, spread / math.sqrt(2)))
        share, most = TAILS.get(metric, (0.0, 0.0))
        if rng.random() < share:
            better -= most * rng.random()
        better -= math.log1p(context.extra) if self.scales_work else 0.0
        return better - (DEAR.get(metric, 0.0) if backend in ("runtime", "nnd") else 0.0)


def _reading(metric: Metric, value: float) -> Reading:
    return Reading(metric=metric.name, value=value, start_ns=0, duration_ns=100_000_000)


def _value(metric: str, *, guest: bool) -> float:
    """What a metric is without noise."""
    base = _longest(VALUES, metric)
    return VALUES[base][guest] if base else 0.2 if guest else 1.0


class Timed(FakeBackend):
    """A backend whose starts take their time on the run's clock."""

    def __init__(self, name: str, clock: FakeClock, **more: object) -> None:
        super().__init__(name, **more)  # type: ignore[arg-type]
        self._clock = clock

    def start(self, spec: object) -> FakeInstance:
        """Start one, which takes as long as it does."""
        self._clock.advance(STARTS[self.name])
        return super().start(spec)  # type: ignore[arg-type]


class Daemon(Timed):
    """One that keeps images and containers."""

    def engine(self) -> object:
        """Nobody asks it for anything."""
        return self


class Quiet(Gauge):
    """A host without other work."""

    def read(self) -> SliceCounters:
        """Nothing to read."""
        return SliceCounters()

    def conditions(self, before: SliceCounters, after: SliceCounters, duration_ns: int) -> SliceConditions:
        """Nothing to report."""
        return SliceConditions()


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """One run: its plan, how long it took, its verdicts."""

    plan: Plan
    seconds: float
    sessions: int
    verdicts: tuple[Verdict, ...]

    @property
    def decided(self) -> dict[str, bool]:
        """Every row that decides a claim, `claim metric arm`, and whether it is decided."""
        known = {claim.id: claim for claim in claims.load().claim}
        return {
            f"{row.claim} {row.metric} {row.arm}": row.verdict in ("supported", "refuted")
            for row in self.verdicts
            if row.claim in known and row.metric != ALL and row.verdict != "not measured"
            if row.metric.removesuffix(".p50").removesuffix(".p99") in known[row.claim].primary
        }

    @property
    def wrong(self) -> list[str]:
        """Rows of the runtime that say what is not so."""
        return [
            f"{row.metric} {row.arm} {row.verdict}"
            for row in self.verdicts
            if row.claim in ("performance", "disk.io") and row.arm in ("runtime", "nnd")
            if row.metric != ALL and row.verdict == ("supported" if row.metric in DEAR else "refuted")
        ]

    @property
    def found(self) -> set[str]:
        """Metrics in which the positive control was found."""
        return {
            row.metric
            for row in self.verdicts
            if row.claim == POSITIVE and row.metric != JOINT and row.verdict == "supported"
        }


def simulated(noise: float, seed: int) -> Simulation:
    """A default run with so much noise."""
    clock, profile = FakeClock(), PROFILES["quick"]
    scenarios = {one.name: Simulated(one, clock, seed, noise) for one in SCENARIOS}
    modes = {"vm": ("none", "bridge", "nat")}
    backends = {
        arm.name: (Daemon if arm.backend == "nnd" else Timed)(
            arm.backend,
            clock,
            final=arm.name,
            modes=modes.get(arm.backend, ("none", "host", "bridge", "nat")),
        )
        for arm in ARMS
    }
    where = Path(tempfile.mkdtemp(prefix="time-to-decide-"))
    stage = setup.Stage(
        arms=ARMS,
        backends=backends,
        infos=(),
        image=fake_image(),
        scratch=where,
        registries=where,
        missing=[],
    )
    excluded, _ = setup.exclusions(stage, list(scenarios.values()), (0, 1), profile)
    plan = make_plan(profile, seed, ARMS, list(scenarios.values()), cpus=(0, 1), excluded=excluded)
    site = measure.Site(
        run_id="r",
        backends=backends,
        scenarios=scenarios,
        profile=profile,
        scratch=where,
        clock=clock,
        gauge=Quiet(),
        decide=functools.partial(_decide, claims.load(), plan),
    )
    with tempfile.TemporaryDirectory(dir=where) as directory:
        path = Path(directory) / journal.NAME
        with Journal(path) as book:
            book.append(RunLine(run=fake_run(plan)))
            outcome = measure.run(plan, site, book)
        contents = journal.read(path)
    rows = judge(
        store.frame(contents.samples),
        claims.load(),
        plan,
        closed=contents.closed,
        sessions_run=outcome.sessions,
        out_of_reach=contents.out_of_reach,
    )
    return Simulation(plan=plan, seconds=outcome.seconds, sessions=outcome.sessions, verdicts=tuple(rows))


def summary(found: Sequence[Simulation]) -> dict[str, object]:
    """Shares over some runs, as JSON has them."""
    decided = Counter(row for one in found for row, yes in one.decided.items() if yes)
    asked = Counter(row for one in found for row in one.decided)
    return {
        "runs": len(found),
        "rows": statistics.fmean(len(one.decided) for one in found),
        "decided": statistics.fmean(sum(one.decided.values()) for one in found),
        "seconds": statistics.fmean(one.seconds for one in found),
        "sessions": statistics.fmean(one.sessions for one in found),
        "wrong": sum(len(one.wrong) for one in found),
        "control": {
            metric: sum(metric in one.found for one in found)
            for metric in sorted(set().union(*(one.found for one in found)))
        },
        "by_row": {row: f"{decided[row]} of {count}" for row, count in sorted(asked.items())},
    }


def main() -> int:
    """Simulate, and print what was decided."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--noise", default="0.7,1,1.5", help="factors on all noise, one series for each")
    parser.add_argument("--json", type=Path, help="write all shares there")
    options = parser.parse_args()
    series = {}
    for noise in map(float, options.noise.split(",")):
        found = series[f"{noise:g}"] = summary([simulated(noise, seed) for seed in range(options.runs)])
        shown = ("decided", "rows", "seconds", "sessions", "wrong")
        print(f"noise ×{noise:g}: " + ", ".join(f"{name} {found[name]:.1f}" for name in shown), flush=True)
        print("  control found:", ", ".join(f"{k} {v}" for k, v in found["control"].items()))  # type: ignore
        for row, share in found["by_row"].items():  # type: ignore[attr-defined]
            print(f"  {row}: {share}")
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(series)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
