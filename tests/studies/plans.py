"""Two plans side by side: default runs of this checkout and of an older commit's, one after the other in
turns.

    sudo python -m tests.studies.plans --old ../previous --runs 10 --out DIR
    sudo python -m tests.studies.plans --again 20 --out DIR

The first counts, for each plan, decided rows, runs that found the positive control, and contradictions
(supported in one run, refuted in another), and compares the widths of intervals metric by metric: the runs of
a turn lie in the same hour. The second runs the host against itself: false verdicts, and how often an
interval holds the truth, 1. `--old` is a checkout with the packages installed for it (its own .venv, or this
interpreter's). A study that was cut goes on where it stopped. Writes DIR/plans.json.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median

import msgspec

from bench import claims
from bench.model import ALL, JOINT, POSITIVE, Verdict
from tests.paths import REPOSITORY
from tests.studies.series import AGAIN, DONE, JOURNAL, SEED, Entry, Share, Summary, entries, share, summarise
from tests.studies.series import primary_metrics as primary_of

NEW, OLD = "new", "old"
DECIDED = ("supported", "refuted")


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One plan. decided: rows that decide a claim and are decided, of each run; rows: how many there are.
    by_row: how often each was decided. control: runs that found the extra work, by metric. out_of_reach: how
    often a row was given up. widths: median over runs of the interval's width (its ends' log-ratio), by row.
    """

    runs: int
    seconds: float
    decided: tuple[int, ...]
    rows: float
    by_row: dict[str, int]
    control: dict[str, int]
    out_of_reach: dict[str, int]
    contradictions: tuple[str, ...]
    invalid: tuple[str, ...]
    widths: dict[str, float]


class Width(msgspec.Struct, frozen=True, kw_only=True):
    """One row's interval: the ratio new / old in each turn, and their median."""

    row: str
    ratios: tuple[float, ...]
    median: float


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """The host against itself. covered: intervals (each side at 5 % over all looks) that hold 1."""

    summary: Summary
    covered: Share
    by_metric: dict[str, Share]


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of both parts."""

    sides: dict[str, Side]
    widths: tuple[Width, ...]
    again: Again | None


def deciding(entry: Entry) -> dict[str, Verdict]:
    """The rows of one run that decide a claim, by `metric arm`."""
    known = {claim.id: claim for claim in claims.load().claim}
    return {
        f"{row.metric} {row.arm}": row
        for row in entry.verdicts
        if row.claim in known and row.metric != ALL and row.verdict != "not measured"
        if row.metric.removesuffix(".p50").removesuffix(".p99") in known[row.claim].primary
    }


def width(row: Verdict) -> float | None:
    """The log-ratio of a ratio's bounds; None where one is missing or it is not a ratio."""
    if not row.baseline or not row.low or not row.high:
        return None
    return math.log(row.high / row.low)


def side(found: Sequence[Entry]) -> Side:
    """What the runs of one plan say. Raises ValueError for none."""
    whole = summarise(found, primary_of(found))
    runs = [deciding(entry) for entry in found]
    rows = [(name, row) for run in runs for name, row in run.items()]
    widths: dict[str, list[float]] = {}
    for name, row in rows:
        if (wide := width(row)) is not None:
            widths.setdefault(name, []).append(wide)
    return Side(
        runs=len(found),
        seconds=whole.seconds,
        decided=tuple(sum(row.verdict in DECIDED for row in run.values()) for run in runs),
        rows=fmean(map(len, runs)),
        by_row=_counts(name for name, row in rows if row.verdict in DECIDED),
        control=_counts(
            row.metric
            for entry in found
            for row in entry.verdicts
            if row.claim == POSITIVE and row.metric != JOINT and row.verdict == "supported"
        ),
        out_of_reach=_counts(name for name, row in rows if row.out_of_reach),
        contradictions=tuple(f"{one.claim} {one.metric} {one.arm}" for one in whole.contradictions),
        invalid=whole.invalid,
        widths={name: median(found) for name, found in sorted(widths.items())},
    )


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def widths(new: Sequence[Entry], old: Sequence[Entry]) -> tuple[Width, ...]:
    """The ratio of widths by row, runs of the same number (the same turn) against each other."""
    ratios: dict[str, list[float]] = {}
    older = {entry.name: deciding(entry) for entry in old}
    for entry in new:
        for name, row in deciding(entry).items():
            other = older.get(entry.name, {}).get(name)
            mine, theirs = width(row), width(other) if other else None
            if mine and theirs:
                ratios.setdefault(name, []).append(mine / theirs)
    return tuple(
        Width(row=name, ratios=tuple(found), median=median(found)) for name, found in sorted(ratios.items())
    )


def again(found: Sequence[Entry]) -> Again:
    """False verdicts and coverage of runs of the host against itself. Raises ValueError for none."""
    rows = [
        row
        for entry in found
        for row in entry.verdicts
        if row.arm == AGAIN and row.baseline and row.metric != ALL and row.low and row.high
    ]
    holds: dict[str, list[bool]] = {}
    for row in rows:
        holds.setdefault(row.metric, []).append((row.low or 0.0) <= 1.0 <= (row.high or 0.0))
    return Again(
        summary=summarise(found, primary_of(found)),
        covered=share(sum(map(sum, holds.values())), len(rows)),
        by_metric={metric: share(sum(one), len(one)) for metric, one in sorted(holds.items())},
    )


def command(path: Path, checkout: Path, number: int, backends: str | None, budget: str | None) -> list[str]:
    """How a run is begun, or gone on with where it was cut."""
    own = checkout / ".venv" / "bin" / "python"
    words = [str(own) if own.exists() else sys.executable, "-m", "bench", "run"]
    if (path / JOURNAL).exists():
        return [*words, "--resume", str(path)]
    words += ["--profile", "quick", "--seed", str(SEED + number), "--out", str(path)]
    words += ["--backends", backends] if backends else []
    return [*words, "--budget", budget] if budget else words


def run_missing(
    directory: Path, checkout: Path, number: int, backends: str | None, budget: str | None
) -> None:
    """One run, unless it is there. Raises SystemExit where it breaks."""
    path = directory / f"run-{number:02}"
    if path.name in {entry.name for entry in entries(directory)}:
        return
    directory.mkdir(parents=True, exist_ok=True)
    print(path, flush=True)
    words = command(path, checkout, number, backends, budget)
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    status = subprocess.run(words, cwd=checkout, env=environment).returncode
    if status not in DONE:
        raise SystemExit(f"{path}: the run ended with status {status}; start the study again to go on")


def run_all(options: argparse.Namespace) -> None:
    """All that is missing: turns of both plans, either first by turns; then the host against itself."""
    checkouts = {NEW: REPOSITORY} | ({OLD: options.old.resolve()} if options.old else {})
    for number in range(1, options.runs + 1) if options.old else ():
        for name in (NEW, OLD) if number % 2 else (OLD, NEW):
            run_missing(options.out / name, checkouts[name], number, options.backends, options.budget)
    for number in range(1, options.again + 1):
        run_missing(options.out / AGAIN, REPOSITORY, number, AGAIN, options.budget)


def study(directory: Path) -> Study:
    """What the runs that are there say. Raises SystemExit for none."""
    found = {name: entries(directory / name) for name in (NEW, OLD, AGAIN)}
    if not any(found.values()):
        raise SystemExit(f"{directory}: no complete run in {NEW}/, {OLD}/ or {AGAIN}/")
    return Study(
        sides={name: side(found[name]) for name in (NEW, OLD) if found[name]},
        widths=widths(found[NEW], found[OLD]),
        again=again(found[AGAIN]) if found[AGAIN] else None,
    )


def text(found: Study) -> str:
    """The study for a reader."""
    lines = []
    for name, one in found.sides.items():
        lines.append(
            f"{name}: {one.runs} runs of {one.seconds:.0f} s; decided {fmean(one.decided):.1f} of "
            f"{one.rows:.1f} rows; contradictions {len(one.contradictions)}; invalid {len(one.invalid)}"
        )
        lines.append(f"  control found: {', '.join(f'{k} {v}' for k, v in one.control.items())}")
    for row in dict.fromkeys(name for one in found.sides.values() for name in one.by_row):
        counts = ", ".join(
            f"{name} {one.by_row.get(row, 0)} of {one.runs}" for name, one in found.sides.items()
        )
        lines.append(f"  {row}: {counts}")
    lines += [f"width new / old, {one.row}: {one.median:.2f}" for one in found.widths]
    if found.again:
        refuted = sum(len(one.refuted) for one in found.again.summary.again if one.role == "all")
        covered = found.again.covered
        lines.append(
            f"again: {found.again.summary.runs} runs; metrics refuted {refuted}; joint A/A failed "
            f"{found.again.summary.joint_failed.k}; intervals that hold 1: {covered.k} of {covered.n}"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then sum up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", type=Path, help="the checkout of the other plan")
    parser.add_argument("--runs", type=int, default=10, help="of each plan, where --old is given")
    parser.add_argument("--again", type=int, default=0, help="runs of the host against itself")
    parser.add_argument("--backends", help="as for `ninetynine run`; the profile's by default")
    parser.add_argument("--budget", help="as for `ninetynine run`; the profile's by default")
    parser.add_argument("--out", type=Path, required=True, help="where the runs are, or shall be")
    parser.add_argument("--summary-only", action="store_true", help="measure nothing, sum up what is there")
    options = parser.parse_args(arguments)
    options.out = options.out.resolve()
    if not options.summary_only:
        run_all(options)
    found = study(options.out)
    (options.out / "plans.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    print(text(found), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
