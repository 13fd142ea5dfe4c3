"""A run's verdicts on standard output, as `run`, `judge` and `show` print them."""

from __future__ import annotations

from bench.cli import tables
from bench.cli.console import complain, out, print_json
from bench.model import Run, Verdict
from bench.store import Loaded


def damaged(loaded: Loaded) -> bool:
    """Whether a file of the run was cut off; each is named on standard error."""
    for sentence in loaded.recovered:
        complain(sentence)
    return bool(loaded.recovered)


def show_run(run: Run, verdicts: list[Verdict], as_json: bool) -> None:
    """The run's heading, its verdicts, and what was not measured."""
    if as_json:
        print_json(
            {"run": run.id, "status": run.status, "verdicts": verdicts, "not_measured": run.not_measured}
        )
        return
    console = out()
    tables.heading(console, run)
    tables.verdicts(console, verdicts)
    tables.not_measured(console, run.not_measured)
