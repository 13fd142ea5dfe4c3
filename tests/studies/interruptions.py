"""One run interrupted at random moments, by Ctrl-C and by kill -9 in turn, and gone on with each time.

    nox -s interruptions -- --times 10 --seed 3 --out DIR

Then it is asked of the files: was it the same plan to the end, was each step measured once or left out with a
reason, is every sample there that was in the journal before each interruption, are the verdicts those that a
fresh process gives to the same samples. Needs root.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench import journal, store
from bench.journal import Contents
from bench.model import Plan
from bench.plan import encoded
from bench.profiles import CORE_SHARE
from tests.paths import REPOSITORY

PATIENCE_S = 900.0
"""No promise about speed: what takes so long hangs."""

REACH = 0.65 * CORE_SHARE
"""Of the time budget, within which the interruptions fall. No look ends a run so early: the sessions before
the first one are given CORE_SHARE of it, and a machine is seldom half as fast again as forecast."""

KINDS = (signal.SIGINT, signal.SIGKILL)
TAIL = 1 << 18
"""Bytes of a journal's end that hold its last step, a repeated plan behind it included."""

_ELAPSED = re.compile(rb'"elapsed":([0-9.]+)')
INTERRUPTED, ENDED = 130, (0, 3)

Start = Callable[..., "subprocess.Popen[str]"]
"""Starts `ninetynine` with these words."""


class NotInterruptedError(Exception):
    """The experiment itself went wrong: what was done, what came of it."""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One interruption: by what, after so many seconds of measuring and steps, and the journal right then."""

    kind: str
    seconds: float
    steps: int
    status: int
    kept: bytes


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the files. wrong: what is not as it should be, "" where nothing is."""

    question: str
    wrong: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to the run, and the answers."""

    legs: tuple[Leg, ...]
    checks: tuple[Check, ...]
    steps: int
    dropped: int

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not any(check.wrong for check in self.checks)

    def __str__(self) -> str:
        lines = [
            f"{leg.kind} after {leg.seconds:.1f} s of measuring, {leg.steps} steps: status {leg.status}"
            for leg in self.legs
        ]
        lines += [f"to the end: {self.steps} steps measured, {self.dropped} left out with a reason"]
        lines += [
            f"{'WRONG' if one.wrong else 'holds'}: {one.question} {one.wrong}".rstrip() for one in self.checks
        ]
        return "\n".join(lines)


def interrupt_and_resume(
    start: Start,
    run: Path,
    words: Sequence[object],
    times: int,
    seed: int,
    say: Callable[[str], None] = print,
) -> Story:
    """Begin a run in `run` with `words`, interrupt it `times` times, go on to its end, and check it."""
    rng = random.Random(seed)
    legs: list[Leg] = []
    plan: Plan | None = None
    moments: Iterator[float] = iter(())
    for kind in itertools.islice(itertools.cycle(KINDS), times):
        begun = plan is not None
        child = start("run", "--resume", run) if begun else start("run", *words, "--out", run)
        if not begun:
            _wait(lambda: _elapsed(run) > 0, child)
            plan = journal.read(run / journal.NAME).run.plan
            moments = iter(_moments(plan, times, rng))
        leg = _interrupted(child, run, kind, next(moments), rng)
        say(f"{leg.kind} after {leg.seconds:.1f} s of measuring, {leg.steps} steps")
        legs.append(leg)
    assert plan is not None
    status, _, stderr = _ended(start("run", "--resume", run))
    if status not in ENDED:
        raise NotInterruptedError(f"going on with {run} to its end: status {status}: {stderr}")
    contents = journal.read(run / journal.NAME)
    checks = (
        *checked(run, plan, [leg.kept for leg in legs], contents),
        *_statuses(legs),
        _judged_again(start, run),
    )
    left_out = sum(len(line.orders) for line in contents.dropped)
    return Story(legs=tuple(legs), checks=checks, steps=len(contents.done), dropped=left_out)


def _moments(plan: Plan, times: int, rng: random.Random) -> list[float]:
    """Seconds of measuring after which to interrupt."""
    return sorted(rng.uniform(0.0, REACH * plan.budget_s) for _ in range(times))


def _interrupted(
    child: subprocess.Popen[str], run: Path, kind: signal.Signals, moment: float, rng: random.Random
) -> Leg:
    """Wait until so much was measured, and a little more; where it was already, only a little."""
    if _elapsed(run) >= moment:
        time.sleep(rng.uniform(0.2, 3.0))  # somewhere in the setting up, or in the first slices
    else:
        _wait(lambda: _elapsed(run) >= moment, child)
        time.sleep(rng.uniform(0.0, 0.3))  # somewhere in a slice
    if child.poll() is not None:
        raise NotInterruptedError(f"{run}: ended before {moment:.1f} s of measuring: {child.communicate()}")
    child.send_signal(kind)
    status, _, _ = _ended(child)
    data = (run / journal.NAME).read_bytes()
    kept = data[: data.rfind(b"\n") + 1]
    return Leg(kind=kind.name, seconds=_last(kept), steps=_count(kept), status=status, kept=kept)


def checked(run: Path, plan: Plan, kept: Sequence[bytes], contents: Contents) -> Iterator[Check]:
    """The questions that the files answer. kept: the journal's whole lines at each interruption, in order."""
    data = (run / journal.NAME).read_bytes()
    loaded = store.load(run)
    same = encoded(loaded.run.plan) == encoded(plan)
    yield Check(question="the same plan to the end?", wrong="" if same else "the plan is another one")
    status = loaded.run.status
    yield Check(question="completed?", wrong="" if status == "complete" else f"status {status}")
    lost = [place for place, lines in enumerate(kept, start=1) if not data.startswith(lines)]
    yield Check(
        question="all that was in the journal before each interruption still there?",
        wrong=f"not what was there at {lost}" if lost else "",
    )
    yield Check(question="each step once, measured or left out with a reason?", wrong=_not_once(data, plan))
    there = store.frame(contents.samples).sort_values("order", kind="stable", ignore_index=True)
    equal = there.equals(loaded.samples.reset_index(drop=True))
    yield Check(
        question="the samples of the journal, and no others, in the Parquet file?",
        wrong=""
        if equal
        else f"{len(there)} in the journal, {len(loaded.samples)} in the file, or they differ",
    )
    twice = int(there.duplicated(["order", "take", "metric", "start_ns", "value"]).sum())
    yield Check(question="no sample twice?", wrong=f"{twice} are there again" if twice else "")


def _not_once(data: bytes, plan: Plan) -> str:
    """What is wrong with the steps of a journal, by its raw lines; "" when nothing is."""
    lines = [msgspec.json.decode(line) for line in data.splitlines()]
    measured = Counter(line["order"] for line in lines if line["type"] == "step")
    dropped = Counter(order for line in lines if line["type"] == "drop" for order in line["orders"])
    planned = {step.order for step in plan.steps}
    wrong = (
        ("measured twice", [order for order, number in measured.items() if number > 1]),
        ("left out twice", [order for order, number in dropped.items() if number > 1]),
        ("measured and left out", sorted(measured.keys() & dropped.keys())),
        ("neither measured nor left out", sorted(planned - measured.keys() - dropped.keys())),
        ("not planned", sorted((measured.keys() | dropped.keys()) - planned)),
        ("no reason", [line["orders"] for line in lines if line["type"] == "drop" and not line["reason"]]),
    )
    return "; ".join(f"{what}: {orders[:10]}" for what, orders in wrong if orders)


def _statuses(legs: Sequence[Leg]) -> Iterator[Check]:
    """Ctrl-C ends in order, with the status that the documentation names."""
    odd = [leg.status for leg in legs if leg.kind == "SIGINT" and leg.status != INTERRUPTED]
    yield Check(question="Ctrl-C ended it in order each time?", wrong=f"statuses {odd}" if odd else "")


def _judged_again(start: Start, run: Path) -> Check:
    """A fresh process judges the same samples."""
    before = store.load_verdicts(run)
    status, _, stderr = _ended(start("judge", run))
    wrong = "" if status in ENDED else f"status {status}: {stderr}"
    if not wrong and store.load_verdicts(run) != before:
        wrong = "they differ"
    return Check(question="the verdicts of a fresh process?", wrong=wrong)


def _elapsed(run: Path) -> float:
    """Seconds of measuring so far by a journal's end; cheap, as it is asked often beside a measurement."""
    try:
        with (run / journal.NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return _last(file.read())
    except OSError:
        return 0.0


def _last(data: bytes) -> float:
    found = _ELAPSED.findall(data)
    return float(found[-1]) if found else 0.0


def _count(data: bytes) -> int:
    """Step lines of a journal."""
    return data.count(b'{"type":"step"')


def _wait(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if child.poll() is not None:
            raise NotInterruptedError(f"ended too early: {child.communicate()}")
        if time.monotonic() > deadline:
            child.kill()
            raise NotInterruptedError(f"waited in vain: {child.communicate()}")
        time.sleep(0.1)


def _ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = child.communicate(timeout=PATIENCE_S)
    return child.returncode, stdout, stderr


def _start(*words: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "bench", *map(str, words)]
    return subprocess.Popen(line, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main() -> int:
    """Do it and say what was done. Exit status 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of the plan")
    parser.add_argument("--backends", default="runtime")
    parser.add_argument("--families", default="cpu")
    parser.add_argument("--budget", default="60", help="as for `ninetynine run`")
    parser.add_argument("--out", type=Path, help="the run's directory (default: a new one)")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="interrupted-", dir="/var/tmp")) / "run"
    words = ["--backends", options.backends, "--families", options.families]
    words += ["--seed", str(options.seed), "--budget", options.budget]
    story = interrupt_and_resume(_start, out.resolve(), words, options.times, options.seed)
    print(story)
    print(f"the run is in {out}")
    return int(not story.whole)


if __name__ == "__main__":
    sys.exit(main())
