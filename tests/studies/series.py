"""Whole runs one after another, and what they say together: how often the suite itself is wrong.

    nox -s series -- --runs 20 --backends again --budget 150 --out DIR
    nox -s series -- --summary-only --out DIR

The arm `again` is the host once more, so every *refuted* of it is a false one. Each run is a fresh process
with its own seed; a run that is there and complete is not repeated, one that was cut is gone on with, so the
series itself can be interrupted. Writes series.json and series.md beside the runs. Needs root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import starmap
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec
from scipy.stats import binomtest

from bench import store
from bench.journal import NAME as JOURNAL
from bench.model import INSTRUMENT, Run, Verdict
from tests.paths import REPOSITORY

AGAIN = "again"
AA_CLAIMS = ("performance", "disk.io")
"""Claims whose rows on `again` are false when refuted: ratios to the host."""

CONTROL, POSITIVE = "control.aa", "control.positive"
WHOLE = ("*", "joint")
"""Metrics of rows that stand for all of a claim: not a metric of their own."""

DONE = (0, 3)
"""Exit statuses of a run that came to its end: as planned, and with a control that failed."""

SEED = 20_000
"""The first run's seed; each further one's is one more."""

MOST_REFUTED = 1
MOST_FAILED = 1
"""Of twenty runs: metrics refuted of the host against itself, and joint A/A checks failed."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the series."""

    name: str
    run: Run
    verdicts: tuple[Verdict, ...]


class Refuted(msgspec.Struct, frozen=True, kw_only=True):
    """A false refutation: where, and what was found."""

    run: str
    claim: str
    metric: str
    estimate: float | None
    low: float | None
    high: float | None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """k of n with its exact (Clopper-Pearson) 95 % interval."""

    k: int
    n: int
    low: float
    high: float


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """The host against itself over all runs, rows of one role. Rows of one run are not independent."""

    role: Literal["primary", "all"]
    refuted: tuple[Refuted, ...]
    supported: Share
    inconclusive: int


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How often each state came out for one metric on one system. contradicts: both supported and refuted."""

    claim: str
    metric: str
    arm: str
    states: dict[str, int]
    sessions: float | None

    @property
    def contradicts(self) -> bool:
        """Whether one run supported what another refuted."""
        return bool(self.states.get("supported")) and bool(self.states.get("refuted"))


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs say together. seconds: what a run took by its own stamps. sessions: walked in a run."""

    runs: int
    invalid: tuple[str, ...]
    again: tuple[SelfTest, ...]
    joint_failed: Share
    joint_undecided: int
    positive: dict[str, int]
    positive_metrics: dict[str, dict[str, int]]
    contradictions: tuple[Tally, ...]
    tallies: tuple[Tally, ...]
    seconds: float
    seconds_range: tuple[float, float]
    sessions: float
    decided: dict[str, float]


def summarise(entries: Sequence[Entry], primary: frozenset[str]) -> Summary:
    """All of it from the runs' records. primary: names of metrics that decide a claim. Raises ValueError."""
    if not entries:
        raise ValueError("no complete run to summarise")
    joints = [row.verdict for entry in entries for row in entry.verdicts if _whole_of(row, CONTROL)]
    positives = [row for entry in entries for row in entry.verdicts if row.claim == POSITIVE]
    tallies = tuple(_tallies(entries))
    took = [_seconds(entry.run) for entry in entries]
    return Summary(
        runs=len(entries),
        invalid=tuple(starmap(_invalid, _invalids(entries))),
        again=tuple(self_tests(entries, primary)),
        joint_failed=share(joints.count("refuted"), len(joints)),
        joint_undecided=joints.count("inconclusive"),
        positive=dict(Counter(row.verdict for row in positives if row.metric in WHOLE)),
        positive_metrics=_states_by_metric(positives),
        contradictions=tuple(one for one in tallies if one.contradicts),
        tallies=tallies,
        seconds=median(took),
        seconds_range=(min(took), max(took)),
        sessions=median(entry.run.sessions_run or entry.run.plan.sessions for entry in entries),
        decided=_sessions_to_decision(entries),
    )


def self_tests(entries: Sequence[Entry], primary: frozenset[str]) -> Iterable[SelfTest]:
    """The host against itself: the metrics that decide, and all of them."""
    rows = [
        (entry.name, row)
        for entry in entries
        for row in entry.verdicts
        if row.arm == AGAIN and row.claim in AA_CLAIMS and _is_metric(row)
    ]
    roles: tuple[Literal["primary", "all"], ...] = ("primary", "all")
    for role in roles if rows else ():
        mine = [(name, row) for name, row in rows if role == "all" or row.metric in primary]
        states = Counter(row.verdict for _, row in mine)
        yield SelfTest(
            role=role,
            refuted=tuple(_refuted(name, row) for name, row in mine if row.verdict == "refuted"),
            supported=share(states["supported"], len(mine)),
            inconclusive=states["inconclusive"],
        )


def share(k: int, n: int) -> Share:
    """k of n; the interval of nothing at all is everything."""
    if not n:
        return Share(k=0, n=0, low=0.0, high=1.0)
    interval = binomtest(k, n).proportion_ci(confidence_level=0.95, method="exact")
    return Share(k=k, n=n, low=float(interval.low), high=float(interval.high))


def _is_metric(row: Verdict) -> bool:
    return row.metric not in WHOLE and row.verdict != "not measured"


def _whole_of(row: Verdict, claim: str) -> bool:
    return row.claim == claim and row.metric in WHOLE


def _refuted(name: str, row: Verdict) -> Refuted:
    return Refuted(
        run=name, claim=row.claim, metric=row.metric, estimate=row.estimate, low=row.low, high=row.high
    )


def _invalids(entries: Sequence[Entry]) -> Iterable[tuple[str, Verdict]]:
    for entry in entries:
        for row in entry.verdicts:
            if row.metric in WHOLE and row.claim in (CONTROL, POSITIVE) and row.verdict == "refuted":
                yield entry.name, row


def _invalid(name: str, row: Verdict) -> str:
    return f"{name}: {row.claim}: {row.reason}"


def _tallies(entries: Sequence[Entry]) -> Iterable[Tally]:
    """A row a (claim, metric, backend), controls left out, in the order in which they first appear."""
    states: dict[tuple[str, str, str], Counter[str]] = {}
    sessions: dict[tuple[str, str, str], list[int]] = {}
    for entry in entries:
        for row in entry.verdicts:
            if row.verdict != "not measured" and row.claim not in INSTRUMENT:
                key = (row.claim, row.metric, row.arm)
                states.setdefault(key, Counter())[row.verdict] += 1
                if row.verdict in ("supported", "refuted") and row.n_sessions:
                    sessions.setdefault(key, []).append(row.n_sessions)
    for (claim, metric, arm), found in states.items():
        took = sessions.get((claim, metric, arm))
        yield Tally(
            claim=claim,
            metric=metric,
            arm=arm,
            states=dict(found),
            sessions=median(took) if took else None,
        )


def _states_by_metric(rows: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if _is_metric(row):
            found.setdefault(row.metric, Counter())[row.verdict] += 1
    return {metric: dict(states) for metric, states in found.items()}


def _sessions_to_decision(entries: Sequence[Entry]) -> dict[str, float]:
    """Median sessions after which looks closed scenarios, by system under test."""
    found: dict[str, list[int]] = {}
    for entry in entries:
        others = {arm.name for arm in entry.run.plan.arms if arm.role != "arm"}
        for closed in entry.run.closed:
            if closed.arm not in others:
                found.setdefault(closed.arm, []).append(closed.sessions)
    return {arm: median(sessions) for arm, sessions in sorted(found.items())}


def _seconds(run: Run) -> float:
    started, ended = (datetime.fromisoformat(stamp) for stamp in (run.started, run.ended))
    return (ended - started).total_seconds()


def markdown(found: Summary) -> str:
    """The summary for a reader."""
    low, high = found.seconds_range
    lines = [
        f"# {found.runs} runs",
        "",
        f"Median of a run: {found.seconds:.0f} s ({low:.0f} to {high:.0f}), {found.sessions:g} sessions.",
        *(f"Invalid: {text}" for text in found.invalid),
        "",
        *(
            f"- {'holds' if number <= most else 'BROKEN'}: {name}: {number}, at most {most}"
            for name, number, most in promises(found)
        ),
        "",
        *_again_lines(found),
        f"- joint A/A check failed in {_share(found.joint_failed)}, undecided in {found.joint_undecided}",
        f"- positive control: {_positive_words(found.positive)}",
        *(f"  - {metric}: {_positive_words(states)}" for metric, states in found.positive_metrics.items()),
        f"- sessions until a look closed a scenario, median: {_words(found.decided)}",
        f"- supported in one run and refuted in another: {len(found.contradictions)}",
        *(f"  - {one.claim} {one.metric} {one.arm}: {_words(one.states)}" for one in found.contradictions),
        "",
        "| claim | metric | system | supported | refuted | inconclusive | sessions |",
        "|---|---|---|---|---|---|---|",
        *map(_tally_line, found.tallies),
    ]
    return "\n".join(lines) + "\n"


def promises(found: Summary) -> tuple[tuple[str, int, int], ...]:
    """Each promise: what is counted, how often it was found, how often at most it may be."""
    refuted = sum(len(one.refuted) for one in found.again if one.role == "all")
    return (
        ("metrics refuted of the host against itself", refuted, MOST_REFUTED),
        ("joint A/A checks failed", found.joint_failed.k, MOST_FAILED),
        ("metrics supported in one run and refuted in another", len(found.contradictions), 0),
    )


def _again_lines(found: Summary) -> Iterable[str]:
    for one in found.again:
        yield (
            f"- host against itself, {one.role} metrics: supported {_share(one.supported)}, "
            f"refuted {len(one.refuted)}, inconclusive {one.inconclusive}"
        )
        for row in one.refuted if one.role == "all" else ():
            yield f"  - {row.run}: {row.claim} {row.metric}: {row.estimate} ({row.low} to {row.high})"


def _share(one: Share) -> str:
    part = f"{one.k / one.n:.1%}" if one.n else "–"
    return f"{one.k} of {one.n} ({part}; 95 %: {one.low:.1%} to {one.high:.1%})"


def _positive_words(states: dict[str, int]) -> str:
    words = {"supported": "found", "inconclusive": "lacked power", "refuted": "failed"}
    return _words({words.get(state, state): number for state, number in states.items()})


def _words(counts: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(f"{name} {number:g}" for name, number in counts.items()) or "none"


def _tally_line(one: Tally) -> str:
    counts = " | ".join(str(one.states.get(state, 0)) for state in ("supported", "refuted", "inconclusive"))
    sessions = "–" if one.sessions is None else f"{one.sessions:g}"
    return f"| {one.claim} | {one.metric} | {one.arm} | {counts} | {sessions} |"


def entries(directory: Path) -> list[Entry]:
    """The complete and judged runs of a series, in their order."""
    found = []
    for path in sorted(directory.glob("run-*")):
        if (path / store.VERDICTS).exists() and store.is_closed(path):
            loaded = store.load(path)
            if loaded.run.status == "complete":
                verdicts = tuple(store.load_verdicts(path))
                found.append(Entry(name=path.name, run=loaded.run, verdicts=verdicts))
    return found


def primary_metrics(found: Sequence[Entry]) -> frozenset[str]:
    """The metrics that the plans call primary."""
    return frozenset(
        metric.name for entry in found for metric in entry.run.plan.metrics if metric.role == "primary"
    )


def command(path: Path, options: argparse.Namespace, number: int) -> list[str]:
    """How the run at `path` is begun, or gone on with where it was cut."""
    words = [sys.executable, "-m", "bench", "run"]
    if (path / JOURNAL).exists():
        return [*words, "--resume", str(path)]
    words += ["--profile", options.profile, "--backends", options.backends, "--seed", str(SEED + number)]
    words += ["--out", str(path)]
    for name in ("families", "budget"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    return words


def run_all(directory: Path, options: argparse.Namespace) -> None:
    """All runs that are not there yet, each in a fresh process. Raises SystemExit where one breaks."""
    done = {entry.name for entry in entries(directory)}
    for number in range(1, options.runs + 1):
        path = directory / f"run-{number:02}"
        if path.name in done:
            continue
        print(f"{path.name} of {options.runs}", flush=True)
        status = subprocess.run(command(path, options, number), cwd=REPOSITORY).returncode
        if status not in DONE:
            raise SystemExit(f"{path}: the run ended with status {status}; start the series again to go on")


def main() -> int:
    """Run what is missing, then sum up. Exit status 1 when a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--backends", default=AGAIN)
    parser.add_argument("--families", help="as for `ninetynine run`; all by default")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--budget", help="as for `ninetynine run`; the profile's by default")
    parser.add_argument("--out", type=Path, required=True, help="where the runs are, or shall be")
    parser.add_argument("--summary-only", action="store_true", help="measure nothing, sum up what is there")
    options = parser.parse_args()
    directory: Path = options.out.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    if not options.summary_only:
        run_all(directory, options)
    found = entries(directory)
    if not found:
        raise SystemExit(f"{directory}: no complete run (run-*); give the directory of a series")
    summary = summarise(found, primary_metrics(found))
    (directory / "series.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)) + b"\n")
    (directory / "series.md").write_text(text := markdown(summary))
    print(text, end="")
    return int(any(number > most for _, number, most in promises(summary)))


if __name__ == "__main__":
    sys.exit(main())
