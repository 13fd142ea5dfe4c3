"""The verb `compare`: is NEW worse than OLD? It has exit statuses of its own, for use as a gate."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import msgspec

from bench import store
from bench.cli import execute, tables
from bench.cli.concluding import judged
from bench.cli.console import BAD, FAINT, GOOD, OPEN, err, line, out, print_json
from bench.cli.dependencies import cache_dir, current
from bench.cli.documents import ComparedRun, ComparisonDocument, MeasuredAgain
from bench.cli.errors import INTERRUPTED, CliError, interruptible
from bench.cli.progress import progress
from bench.cli.screen.layout import show, wrapped
from bench.compare import BROKEN, RunComparison, UnlikeRunsError, compare, live, words
from bench.compare.comparability import Difference
from bench.compare.compare_runs import believed, check_numbers, refuse_unlike
from bench.compare.gate import named
from bench.compare.rows import ComparedRow, RowState
from bench.errors import ExpectedError
from bench.host.fingerprint import fingerprint
from bench.judging.rows import count
from bench.measure import Observer
from bench.store import Loaded

_STYLE: dict[RowState, str] = {
    "worse": BAD,
    "gone": BAD,
    "cannot tell": OPEN,
    "not worse": GOOD,
    "better": GOOD,
    "new": FAINT,
}


SCREEN = 20
"""Rows of the table beyond which the answer stands at its end, too."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """How to compare. budget (seconds), out and quiet apply to --live only."""

    margin: float
    alpha: float
    allow: tuple[str, ...]
    backends: tuple[str, ...]
    budget: float | None
    out: Path | None
    quiet: bool


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The second run of a live comparison: its directory and its own comparison (None: no result)."""

    directory: Path
    comparison: RunComparison | None


def compare_runs(old: Path, new: Path | None, is_live: bool, choice: Choice, gate: bool) -> int:
    """Compare two runs, or a run with one that is measured now; return the exit status."""
    try:
        found, second = _compared(old, new, is_live, choice)
    except ExpectedError as error:
        status = error.status if isinstance(error, CliError) and error.status == INTERRUPTED else BROKEN
        if choice.quiet and status == BROKEN:
            print_json(_broken(error))
        raise CliError(str(error), status) from error
    if choice.quiet:
        print_json(_document(found, second, gate))
    else:
        _show(found, second)
    return found.outcome.status if gate else 0


def _compared(
    old: Path, new: Path | None, is_live: bool, choice: Choice
) -> tuple[RunComparison, Live | None]:
    if (new is None) != is_live:
        raise CliError("give either NEW, or --live to measure it now", BROKEN)
    if not is_live and (choice.out, choice.budget) != (None, None):
        raise CliError(
            "--out and --budget apply to a run that is measured now: give them with --live", BROKEN
        )
    before = store.load(old)
    return _live(before, choice) if new is None else (_between(before, store.load(new), choice), None)


def _between(old: Loaded, new: Loaded, choice: Choice) -> RunComparison:
    return compare(
        old, new, margin=choice.margin, alpha=choice.alpha, allow=choice.allow, backends=choice.backends
    )


def _live(old: Loaded, choice: Choice) -> tuple[RunComparison, Live | None]:
    """Measure NEW as OLD was measured; what is worse must be worse in a second run, too."""
    check_numbers(choice.margin, choice.alpha)
    believed(old)
    here = msgspec.structs.replace(old.run, host=fingerprint(cache_dir()))
    refuse_unlike(old.run, here, choice.allow)
    watch = progress(err(), quiet=choice.quiet)
    family_of = {scenario.name: scenario.family for scenario in current().scenarios}
    measured = [family_of[name] for name in old.run.plan.scenarios if name in family_of]
    new = _measure(old, choice, list(dict.fromkeys(measured)), choice.out, watch)
    first = _between(old, store.load(new), choice)
    guilty = live.suspects(first)
    if not guilty:
        return first, None
    watch.say(f"worse in one run: {', '.join(map(named, guilty))}; measuring again")
    beside = _free(new)
    try:
        directory = _measure(old, choice, live.families(guilty, family_of), beside, watch)
        second = _between(old, store.load(directory), choice)
    except ExpectedError as error:
        if isinstance(error, CliError) and error.status == INTERRUPTED:
            raise
        return live.confirm(first, None, str(error)), Live(directory=beside, comparison=None)
    return live.confirm(first, second), Live(directory=directory, comparison=second)


def _free(new: Path) -> Path:
    """Return a directory beside NEW that does not exist yet."""
    endings = itertools.chain(["again"], (f"again-{number}" for number in itertools.count(2)))
    places = (new.with_name(f"{new.name}-{ending}") for ending in endings)
    return next(path for path in places if not path.exists())


def _measure(
    old: Loaded, choice: Choice, families: list[str], directory: Path | None, watch: Observer
) -> Path:
    """Measure with OLD's profile, backends and CPUs. Raises CliError when interrupted."""
    as_old = execute.like(current(), old.run.plan)
    options = msgspec.structs.replace(
        as_old,
        backends=",".join(choice.backends) or as_old.backends,
        families=",".join(families),
        seed=None,
        like=None,
        out=directory,
        budget=choice.budget or as_old.budget,
        at_most=as_old.at_most if choice.budget is None else None,
    )
    with interruptible():
        ended = execute.start(current(), options, watch)
        store.write_verdicts(ended.directory, judged(store.load(ended.directory)))
    if ended.run.status == "interrupted":
        raise CliError(
            f"interrupted; continue with `ninetynine run --resume {ended.directory}`, "
            f"then `ninetynine compare {old.directory} {ended.directory}`",
            INTERRUPTED,
        )
    return ended.directory


def _document(found: RunComparison, second: Live | None, gate: bool) -> ComparisonDocument:
    rows = second.comparison.rows if second and second.comparison else ()
    return ComparisonDocument(
        answer=found.outcome.answer,
        status=found.outcome.status,
        gate=gate,
        old=_who(found.old),
        new=_who(found.new),
        margin=found.settings.margin,
        alpha=found.settings.alpha,
        worse=found.outcome.worse,
        open=found.outcome.open,
        tellable_margin=found.outcome.tellable,
        differences=found.differences,
        notes=found.notes,
        rows=found.rows,
        again=None if second is None else MeasuredAgain(directory=str(second.directory), rows=rows),
    )


def _broken(error: Exception) -> ComparisonDocument:
    refused = tuple(error.differences) if isinstance(error, UnlikeRunsError) else ()
    return ComparisonDocument(answer="broken", status=BROKEN, reason=str(error), differences=refused)


def _who(loaded: Loaded) -> ComparedRun:
    run = loaded.run
    return ComparedRun(
        run=run.id,
        directory=str(loaded.directory),
        started=run.started,
        status=run.status,
        profile=run.plan.profile,
        sessions=int(loaded.samples[["run", "session"]].drop_duplicates().shape[0]),
    )


def _show(found: RunComparison, second: Live | None) -> None:
    line(_answer(found), "bold")
    _show_worse(found)
    if second is not None:
        line(f"measured again: {second.directory}")
    for name, loaded in (("OLD", found.old), ("NEW", found.new)):
        line(f"{name}: {loaded.directory}, {loaded.run.plan.profile}, {loaded.run.started}")
    for note in (*map(_difference, found.differences), *found.notes):
        show(out(), wrapped(note, out().width, "note: "))
    absent = Counter((row.state, row.verdict.arm, row.verdict.reason) for row in found.rows if _absent(row))
    for (state, arm, why), number in absent.items():
        line(f"{state}: {count(number, 'reading')} of {arm} ({why})", _STYLE[state])
    rows = [_cells(row) for row in found.rows if not _absent(row)]
    if not rows:
        return
    out().print()
    tables.plain(
        out(),
        ("reading", "role", "metric", "arm", "NEW / OLD [interval]", "OLD → NEW", "sessions", "why"),
        rows,
    )
    if len(rows) > SCREEN:
        out().print()
        line(_answer(found), "bold")


def _absent(row: ComparedRow) -> bool:
    """Whether only one of the runs has it."""
    return row.state in ("gone", "new")


def _show_worse(found: RunComparison) -> None:
    for row in found.rows:
        if row.state == "worse" and row.role != "context":
            line(row.sentence, BAD)
    slower = [row for row in found.rows if row.role == "context" and row.state == "worse"]
    if slower:
        parts = ", ".join(f"{row.verdict.metric} at {words.percent(row.verdict.estimate)}" for row in slower)
        line(f"the host itself is slower in NEW, which ratios within a run cannot show: {parts}", OPEN)


def _cells(row: ComparedRow) -> tuple[str, ...]:
    one = row.verdict
    return (
        f"[{_STYLE[row.state]}]{row.state}[/]",
        row.role,
        one.metric,
        one.arm,
        tables.plainly(_interval(row)),
        tables.plainly(words.both(row.old, row.new, row.unit)),
        f"{row.n_old}, {row.n_new}",
        tables.plainly(one.reason),
    )


def _interval(row: ComparedRow) -> str:
    one = row.verdict
    if one.estimate is None:
        return ""
    if row.scale == "difference":
        low, high = (words.amount(bound, row.unit) or "any" for bound in (one.low, one.high))
        return f"{words.amount(one.estimate, row.unit)} [{low}, {high}]"
    return f"{words.percent(one.estimate)} [{words.percent(one.low)}, {words.percent(one.high)}]"


def _difference(one: Difference) -> str:
    verb = {"allowed": "differs, as allowed", "noted": "differs"}[one.weight]
    return f"{one.item} {verb}: {one.old} → {one.new} ({one.why})"


def _answer(found: RunComparison) -> str:
    outcome, kept = found.outcome, words.percent(found.settings.margin)
    primary = sum(row.role == "primary" and row.state != "new" for row in found.rows)
    if outcome.answer == "worse":
        return f"worse: {', '.join(outcome.worse)} (of {primary} primary readings)"
    if outcome.answer == "nothing worse":
        return f"nothing worse: all {primary} primary readings keep {kept} of OLD's performance"
    hint = f"; these runs could decide a margin of {outcome.tellable:.3g}" if outcome.tellable < 1.0 else ""
    return f"cannot tell: {len(outcome.open)} of {primary} primary readings are open{hint}"
