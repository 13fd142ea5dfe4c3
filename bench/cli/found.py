"""The run that a verb shows: which one, what is known of it, and how it is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from bench import claims, history, journal, store
from bench.cli.console import out
from bench.cli.dependencies import current
from bench.cli.documents import RunDocument
from bench.cli.errors import USAGE, CliError
from bench.cli.screen.found import Found
from bench.cli.screen.layout import show
from bench.model import Verdict
from bench.store import Loaded

RESULTS = Path("results")


def newest(results: Path = RESULTS) -> Path:
    """The directory of the run that was written last. Raises CliError where there is none."""
    found = [path for path in history.directories(results) if is_run(path)]
    if not found:
        raise CliError(f"no run below {results}/; name a run directory", USAGE)
    return max(found, key=lambda path: (_written(path), path.name))


def _written(directory: Path) -> int:
    return (directory / journal.NAME).stat().st_mtime_ns if (directory / journal.NAME).exists() else 0


def is_run(directory: Path) -> bool:
    """Whether a directory holds a run."""
    return any((directory / name).exists() for name in (store.RUN, journal.NAME))


def found_in(loaded: Loaded, verdicts: Sequence[Verdict]) -> Found:
    """What a screen shows of a run."""
    page = loaded.directory / store.REPORT
    return Found(
        directory=loaded.directory,
        run=loaded.run,
        status=store.status(loaded.directory, loaded.run),
        claims=claims.load(),
        verdicts=tuple(verdicts),
        samples=loaded.samples,
        families=tuple(dict.fromkeys(one.family for one in current().scenarios)),
        page=page if page.exists() else None,
    )


def document(found: Found) -> RunDocument:
    """What `--json` prints of a run."""
    return RunDocument(
        run=found.run.id,
        directory=str(found.directory),
        status=found.status,
        report=None if found.page is None else str(found.page),
        seed=found.run.plan.seed,
        verdicts=found.verdicts,
        not_measured=found.run.not_measured,
    )


def screen(lines: Callable[[int], list[Text]]) -> None:
    """Print lines made for the width of standard output."""
    console = out()
    show(console, lines(console.width))
