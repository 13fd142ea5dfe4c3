"""Two designs in the same hour: interleaved pairs, and "all of A, then all of B", which most people use.

    nox -s designs -- --minutes 20 --out DIR

A and B are both the host, so the true ratio is 1. The time is cut into short rounds that go to the two
designs in turn, so that the same noise hits both; each round starts two fresh instances, runs the same slices
and takes the same time. The interleaved design measures A and B in every round, the other one only A in the
first half of its rounds and only B in the second. Each is judged as its users would: Student's t over the
sessions' median log-ratios, and Welch's t over as many unpaired instances. Needs root.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as sps

from bench import journal, measure, store
from bench.cli import dependencies, setup
from bench.cli.names import cpus as usable_cpus
from bench.cli.names import scenarios as named
from bench.journal import Journal, RunLine
from bench.model import ArmPlan, Plan, Step
from bench.plan import make_plan
from bench.profiles import PROFILES, Profile
from bench.scenarios.base import Scenario
from bench.testing import fake_run
from tests.studies.designs_picture import Strip, picture

Floats = NDArray[np.float64]

A, B = "host", "second"
PAIRED, APART = "interleaved", "one after the other"
CONFIDENCE = 0.95
FEWEST = 3
"""Sessions below which a t interval says next to nothing; truncations begin here."""

WANTED = ("cpu.integer", "cpu.float", "cpu.crypto", "memory.bandwidth", "memory.latency")
ROUND_S = 12.0
"""Planned seconds of a round: long beside the instances' starts, short beside a noisy spell."""


class Width(msgspec.Struct, frozen=True, kw_only=True):
    """One design's interval for the ratio B / A of one metric: a log-ratio, its ends, what it rests on."""

    estimate: float
    low: float
    high: float
    instances: int

    @property
    def width(self) -> float:
        """Of the interval, in logarithms: 0.01 is one per cent."""
        return self.high - self.low


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Both designs on one metric.

    narrower: how many times. time_root: how many times longer the other design has to go on for the same
    width, by the root rule. time_cut: the same by cutting the interleaved data off where it is as narrow as
    all of the other's (None: not even all of it is). values: the logarithms behind the intervals.
    """

    metric: str
    interleaved: Width
    apart: Width
    narrower: float
    time_root: float
    time_cut: float | None
    values: dict[str, list[float]]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The experiment: seconds that each design took, and a row a metric."""

    started: str
    rounds: int
    seconds: dict[str, float]
    rows: tuple[Row, ...]

    @property
    def narrower(self) -> float:
        """How many times, geometric mean over the metrics."""
        return _mean([row.narrower for row in self.rows])

    @property
    def at_equal_time(self) -> float:
        """The same, had both taken as long (the root rule): a noisy spell makes rounds longer."""
        return self.narrower * (self.seconds[APART] / self.seconds[PAIRED]) ** 0.5

    @property
    def sooner(self) -> tuple[float, float]:
        """Time to the same width, geometric means: by the root rule, by cutting (at most rounds / FEWEST)."""
        cut = [row.time_root if row.time_cut is None else row.time_cut for row in self.rows]
        return _mean([row.time_root for row in self.rows]), _mean(cut)


def _mean(ratios: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def paired(ratios: Floats) -> Width:
    """Student's t over sessions' median log-ratios, shape (sessions,)."""
    found = sps.ttest_1samp(ratios, 0.0).confidence_interval(CONFIDENCE)
    return Width(
        estimate=float(ratios.mean()), low=float(found.low), high=float(found.high), instances=2 * ratios.size
    )


def unpaired(of_a: Floats, of_b: Floats) -> Width:
    """Welch's t for the difference of instances' median log-values (Welch 1947), shapes (instances,)."""
    found = sps.ttest_ind(of_b, of_a, equal_var=False).confidence_interval(CONFIDENCE)
    return Width(
        estimate=float(of_b.mean() - of_a.mean()),
        low=float(found.low),
        high=float(found.high),
        instances=of_a.size + of_b.size,
    )


def sessions_to(ratios: Floats, width: float) -> int | None:
    """The fewest first sessions from which on the paired interval stays as narrow as `width`."""
    enough = None
    for count in range(ratios.size, FEWEST - 1, -1):
        if paired(ratios[:count]).width > width:
            break
        enough = count
    return enough


def compare(metric: str, ratios: Floats, of_a: Floats, of_b: Floats) -> Row:
    """Both intervals of one metric, and how they compare."""
    ours, theirs = paired(ratios), unpaired(of_a, of_b)
    narrower = theirs.width / ours.width
    enough = sessions_to(ratios, theirs.width)
    return Row(
        metric=metric,
        interleaved=ours,
        apart=theirs,
        narrower=narrower,
        time_root=narrower**2,
        time_cut=ratios.size / enough if enough else None,
        values={"ratios": ratios.tolist(), "a": of_a.tolist(), "b": of_b.tolist()},
    )


def rows(interleaved: pd.DataFrame, apart: pd.DataFrame) -> tuple[Row, ...]:
    """A row for each metric that both designs measured on both sides. Columns as bench.model.Sample."""
    found = []
    for metric in dict.fromkeys(interleaved["metric"]):
        ours = _visits(interleaved[interleaved["metric"] == metric])
        both = ours.pivot_table(index=["session", "block"], columns="arm", values="log").dropna()
        instances = _visits(apart[apart["metric"] == metric]).groupby(["arm", "session"])["log"].median()
        if {A, B} <= set(both.columns) and {A, B} <= set(instances.index.get_level_values("arm")):
            ratios = (both[B] - both[A]).groupby(level="session").median().to_numpy(dtype=np.float64)
            of_a, of_b = (instances.xs(arm, level="arm").to_numpy(dtype=np.float64) for arm in (A, B))
            if ratios.size >= FEWEST and np.ptp(ratios) > 0:
                found.append(compare(str(metric), ratios, of_a, of_b))
    return tuple(found)


def _visits(samples: pd.DataFrame) -> pd.DataFrame:
    """The logarithm of each visit's median, of samples that count."""
    usable = samples[samples["valid"].astype(bool) & (samples["value"] > 0)]
    visits = usable.groupby(["arm", "session", "block"], observed=True)["value"].median().reset_index()
    return visits.assign(log=np.log(visits["value"]))


def one_after_the_other(plan: Plan) -> Plan:
    """The same plan with all slices of A before all of B, as many instances of each, as many slices in each.

    What a session of `plan` measured on two instances becomes two sessions with one instance each: in the
    first half of the plan both of A, in the second both of B. An odd last session is left as it is.
    """
    half = plan.sessions // 2
    steps: list[Step] = []
    for session in range(plan.sessions):
        mine = [step for step in plan.steps if step.session == session]
        for place, arm in enumerate((A, B)):
            side = A if session < half else B if session < 2 * half else arm
            for step in mine:
                if step.arm == arm:
                    numbers = {"order": len(steps), "session": 2 * session + place, "arm": side}
                    steps.append(msgspec.structs.replace(step, **numbers))
    return msgspec.structs.replace(plan, sessions=2 * plan.sessions, steps=tuple(steps))


def rounds(plan: Plan, each: int) -> list[Plan]:
    """The plan cut into plans of `each` sessions, whose numbers begin at 0 again."""
    pieces = []
    for first in range(0, plan.sessions, each):
        steps = tuple(
            msgspec.structs.replace(step, session=step.session - first)
            for step in plan.steps
            if first <= step.session < first + each
        )
        pieces.append(msgspec.structs.replace(plan, steps=steps, sessions=each, seed=plan.seed + first))
    return pieces


def design(
    scenarios: Sequence[Scenario], minutes: float, seed: int, cpus: tuple[int, ...]
) -> tuple[Plan, Profile]:
    """The interleaved plan for half of the minutes: an even number of sessions, of a round each."""
    sessions = max(4, 2 * round(minutes * 60 / 2 / ROUND_S / 2))
    profile = msgspec.structs.replace(
        PROFILES["quick"],
        budget_s=minutes * 30,
        sessions=sessions,
        first_look=0,
        per_family=None,
        max_visits=99,
    )
    arms = (
        ArmPlan(name=A, backend="host", kind="host", role="baseline"),
        ArmPlan(name=B, backend="host", kind="host", role="arm"),
    )
    return make_plan(profile, seed, arms, scenarios, cpus=cpus), profile


class Bench:
    """Runs rounds of either design and keeps their samples in one journal each."""

    def __init__(
        self, stage: setup.Stage, profile: Profile, scenarios: Mapping[str, Scenario], out: Path
    ) -> None:
        self.host = stage.backends["host"]
        self.scratch = stage.scratch
        # Nothing is left out for time: both designs run all of their slices, whatever the machine does.
        self.profile = msgspec.structs.replace(profile, budget_s=profile.budget_s * 10)
        self.scenarios = scenarios
        self.out = out
        self.seconds = {PAIRED: 0.0, APART: 0.0}

    def round(self, kind: str, number: int, plan: Plan) -> None:
        """One round, timed with its instances' starts."""
        site = measure.Site(
            run_id=f"{kind} {number}",
            backends={A: self.host, B: self.host},
            scenarios=self.scenarios,
            profile=self.profile,
            scratch=self.scratch,
        )
        plan = msgspec.structs.replace(plan, budget_s=self.profile.budget_s)
        start = time.monotonic()
        with Journal(self.out / kind.replace(" ", "-") / f"round-{number:03}.jsonl") as book:
            book.append(RunLine(run=fake_run(plan)))
            outcome = measure.run(plan, site, book)
        self.seconds[kind] += time.monotonic() - start
        if outcome.status == "interrupted":
            raise KeyboardInterrupt

    def samples(self, kind: str) -> pd.DataFrame:
        """All samples of a design's rounds."""
        parts, sessions = [], 0
        for path in sorted((self.out / kind.replace(" ", "-")).glob("round-*.jsonl")):
            contents = journal.read(path)
            part = store.frame(contents.samples)
            parts.append(part.assign(session=part["session"] + sessions))
            sessions += contents.run.plan.sessions
        return pd.concat(parts, ignore_index=True)


def measured(options: argparse.Namespace, out: Path) -> Comparison:
    """The whole experiment."""
    real = dependencies.real()
    offered = [one for one in named(options.families, real.scenarios) if one.name in WANTED]
    cpus = usable_cpus(options.cpus, os.sched_getaffinity(0))
    plan, profile = design(offered, options.minutes, options.seed, cpus)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with setup.stage(real, ["host"], dependencies.cache_dir(), print) as stage:
        bench = Bench(stage, profile, {one.name: one for one in offered}, out)
        pieces = list(zip(rounds(plan, 1), rounds(one_after_the_other(plan), 2), strict=True))
        for number, (ours, theirs) in enumerate(pieces):
            print(f"round {number + 1} of {len(pieces)}", flush=True)
            turn = [(PAIRED, ours), (APART, theirs)]
            for kind, piece in turn if number % 2 else reversed(turn):
                bench.round(kind, number, piece)
        return Comparison(
            started=started,
            rounds=len(pieces),
            seconds=bench.seconds,
            rows=rows(bench.samples(PAIRED), bench.samples(APART)),
        )


def strips(row: Row) -> tuple[str, Strip, Strip]:
    """What the picture shows of a metric; the other design's points are relative to the mean of A."""
    middle = float(np.mean(row.values["a"]))
    first, second = ([value - middle for value in row.values[side]] for side in ("a", "b"))
    ours = Strip(interval=ends(row.interleaved), points=row.values["ratios"])
    return row.metric, ours, Strip(interval=ends(row.apart), points=second, first=first)


def ends(one: Width) -> tuple[float, float, float]:
    """Low end, estimate, high end."""
    return one.low, one.estimate, one.high


def markdown(found: Comparison) -> str:
    """The comparison for a reader; intervals in per cent."""
    ours, theirs = (found.seconds[kind] for kind in (PAIRED, APART))
    root, cut = found.sooner
    lines = [
        "# Interleaved pairs against one after the other, host against host",
        "",
        f"{found.started}: {found.rounds} rounds of each; {ours:.0f} s interleaved, {theirs:.0f} s apart.",
        "The true ratio is 1. Intervals at 95 %, in per cent.",
        "",
        "| metric | interleaved | apart | width | width apart | narrower | sooner, root rule | sooner, cut |",
        "|---|---|---|---|---|---|---|---|",
        *map(_line, found.rows),
        "",
        f"Geometric means: {found.narrower:.2f} times narrower ({found.at_equal_time:.2f} had both taken "
        f"exactly as long); as narrow {root:.1f} times sooner by the "
        f"root rule, {cut:.1f} times by cutting (which can show {found.rounds / FEWEST:.1f} at most).",
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cut = "–" if row.time_cut is None else f"{row.time_cut:.1f}×"
    widths = (row.interleaved.width, row.apart.width)
    cells = [
        row.metric,
        _interval(row.interleaved),
        _interval(row.apart),
        *(f"{100 * width:.2f}" for width in widths),
        f"{row.narrower:.2f}×",
        f"{row.time_root:.1f}×",
        cut,
    ]
    return f"| {' | '.join(cells)} |"


def _interval(one: Width) -> str:
    return f"{100 * one.estimate:+.2f} ({100 * one.low:+.2f} to {100 * one.high:+.2f})"


def main() -> int:
    """Measure, compare, and write designs.json, designs.md and designs.svg."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="of measuring, both designs together")
    parser.add_argument("--families", default="cpu,memory")
    parser.add_argument("--cpus", help="as for `ninetynine run`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where journals and results go (default: a new directory)")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="designs-", dir="/var/tmp"))
    if any(out.glob("*/round-*.jsonl")):
        raise SystemExit(f"{out}: has rounds of an earlier experiment; give another --out")
    found = measured(options, out)
    (out / "designs.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    (out / "designs.md").write_text(text := markdown(found))
    (out / "designs.svg").write_text(picture([strips(row) for row in found.rows]))
    print(text, end="")
    print(f"written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
