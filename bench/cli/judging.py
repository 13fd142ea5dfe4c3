"""The verb `judge`: judge a run again, or samples measured with any other tool."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
from rich.console import Console

from bench import store
from bench.claims import ALPHA, BASELINE, MARGIN
from bench.cli import tables
from bench.cli.concluding import control_failed, judged
from bench.cli.console import err, line, out, print_json, warn
from bench.cli.errors import BROKEN, COMPLETE, INVALID, USAGE, CliError
from bench.cli.found import document, found_in, is_run, screen
from bench.cli.progress import progress
from bench.cli.screen.summary import one_screen
from bench.foreign import ChoiceError, judge_table
from bench.foreign.gather import gather
from bench.foreign.readings import reading, summary
from bench.foreign.table import Table
from bench.judging.rows import count
from bench.model import Verdict
from bench.store import Loaded


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """How to judge samples that belong to none of our claims; None for an option that was not given."""

    baseline: str | None
    margin: float | None
    alpha: float | None
    by: str | None
    holm: bool
    out: Path | None

    @property
    def typed(self) -> list[str]:
        """The options that were given, with their dashes."""
        return [
            f"--{name}" for name, value in msgspec.structs.asdict(self).items() if value not in (None, False)
        ]


def judge(files: list[str], choices: Choices, as_json: bool) -> int:
    """Judge a run, or samples of any other tool; return the exit status."""
    if len(files) == 1 and os.path.isdir(files[0]):  # noqa: PTH112  (is_dir() raises where a parent is closed)
        if choices.typed:
            raise CliError(
                f"{files[0]}: a run is judged by claims.toml, so leave out {' '.join(choices.typed)}; "
                "to choose a margin, judge its samples.parquet",
                USAGE,
            )
        return _run(Path(files[0]), as_json)
    return _samples(files, choices, as_json)


def _run(directory: Path, as_json: bool) -> int:
    if not is_run(directory):
        raise CliError(
            f"{directory}: not a run directory (no {store.RUN}); give a run directory or a file with samples"
        )
    loaded = store.load(directory)
    with progress(err(), quiet=as_json).busy("judging"):
        verdicts = judged(loaded)
    before = _damaged_verdicts(directory)
    lost = _kept(loaded, verdicts)
    found = found_in(loaded, verdicts)
    if as_json:
        print_json(document(found))
    else:
        screen(lambda width: one_screen(found, width))
    if lost is not None:
        warn(f"the verdicts are shown and not kept: {lost}")
    if before and lost is None:
        warn(f"{before}; written again")
    if loaded.damage or before or (lost is not None and not _is_closed_to_us(lost)):
        return BROKEN
    return INVALID if control_failed(verdicts) else COMPLETE


def _damaged_verdicts(directory: Path) -> str:
    """The file of verdicts that is there and cannot be read, or ""."""
    path = directory / store.VERDICTS
    try:
        store.load_verdicts(directory)
    except store.StoreError:
        return f"{path}: cut off or damaged" if path.exists() else ""
    return ""


def _kept(loaded: Loaded, verdicts: list[Verdict]) -> store.StoreError | None:
    """Write the verdicts, and damaged files again from the whole ones; return what prevented it."""
    try:
        if loaded.damage:
            store.repair(loaded)
        store.write_verdicts(loaded.directory, verdicts)
    except store.StoreError as error:
        for sentence in loaded.recovered:
            warn(sentence)
        return error
    for one in loaded.damage:
        warn(f"{one.path}: {one.what}; written again, what was damaged is kept in log/")
    return None


def _is_closed_to_us(lost: store.StoreError) -> bool:
    """Whether the run may be read and not written, which is not the verdicts' fault."""
    return getattr(lost.__cause__, "errno", None) in (errno.EACCES, errno.EPERM, errno.EROFS)


def _samples(files: list[str], choices: Choices, as_json: bool) -> int:
    if choices.out is not None and os.path.realpath(choices.out) in map(os.path.realpath, files):
        raise CliError(f"--out {choices.out} is one of the files to judge; choose another", USAGE)
    alpha = ALPHA if choices.alpha is None else choices.alpha
    margin = MARGIN if choices.margin is None else choices.margin
    try:
        with progress(err(), quiet=as_json).busy("judging"):
            table = gather(files, choices.by or "")
            verdicts = judge_table(table, choices.baseline or BASELINE, margin, alpha, holm=choices.holm)
    except ChoiceError as error:
        raise CliError(str(error), USAGE) from error
    if choices.out is not None:
        data = msgspec.json.format(msgspec.json.encode(verdicts), indent=1) + b"\n"
        store.write_atomically(choices.out, data, then="and judge again")
    console = err() if as_json else out()
    line(f"recognised {_recognised(table)}", console=console)
    if alone := _alone(table, verdicts):
        line(f"compared with nothing, as only one system has it: {alone}", console=console)
    if as_json:
        print_json(verdicts)
        return COMPLETE
    _table(console, verdicts)
    line(summary(verdicts, alpha, holm=choices.holm))
    return COMPLETE


def _recognised(table: Table) -> str:
    metrics = table.frame["metric"].nunique()
    parts = (count(len(table.systems), "system"), count(metrics, "metric"), count(len(table.frame), "value"))
    return f"{table.kind}: {', '.join(parts)}"


def _alone(table: Table, verdicts: list[Verdict]) -> str:
    """The metrics of the samples without a row, at most five by name."""
    judged = {one.metric for one in verdicts}
    names = [name for name in dict.fromkeys(metric for metric, _ in table.pairs) if name not in judged]
    return ", ".join((*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])))


def _table(console: Console, verdicts: list[Verdict]) -> None:
    rows = (
        (
            tables.plainly(one.metric),
            tables.plainly(reading(one)),
            tables.state(one),
            tables.plainly(one.reason),
        )
        for one in verdicts
    )
    tables.plain(console, ("metric", "reading", "verdict", "why"), rows)
