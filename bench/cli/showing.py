"""The verbs `show` and `report`: what a run found, and its page."""

from __future__ import annotations

import difflib
from pathlib import Path

from bench import store
from bench.cli.concluding import reported
from bench.cli.console import err, out, print_json
from bench.cli.errors import BROKEN, COMPLETE, USAGE, CliError
from bench.cli.found import document, found_in, newest, screen
from bench.cli.progress import progress
from bench.cli.screen import details
from bench.cli.screen.summary import one_screen
from bench.cli.tables import damaged


def report(run_dir: Path | None, out_file: Path | None) -> int:
    """Write the page again; return the exit status."""
    loaded = store.load(run_dir or newest())
    with progress(err(), quiet=False).busy("drawing the page"):
        page = reported(loaded.directory, out_file)
    out().print(str(page), markup=False, highlight=False, soft_wrap=True)
    return BROKEN if damaged(loaded) else COMPLETE


def show(run_dir: Path | None, what: str | None, everything: bool, as_json: bool) -> int:
    """Print a run, the newest by default; return the exit status. what: a claim or metric."""
    if run_dir is not None and what is None and len(run_dir.parts) == 1 and not run_dir.exists():
        run_dir, what = _newest_for(run_dir), str(run_dir)
    loaded = store.load(run_dir or newest())
    found = found_in(loaded, store.load_verdicts(loaded.directory))
    if as_json:
        print_json(document(found))
    elif what is not None:
        if what not in details.known(found):
            raise CliError(_unknown(what, details.known(found)), USAGE)
        screen(lambda width: details.about(found, what, width))
    else:
        screen(lambda width: (details.everything if everything else one_screen)(found, width))
    return BROKEN if damaged(loaded) else COMPLETE


def _newest_for(typed: Path) -> Path:
    """The newest run, of which `typed` may be a claim or metric."""
    try:
        return newest()
    except CliError as error:
        raise CliError(f"{typed}: no such run directory; {error}", error.status) from error


def _unknown(what: str, known: list[str]) -> str:
    near = difflib.get_close_matches(what, known, 1)
    hint = f"did you mean {near[0]}?" if near else "`ninetynine list metrics` shows the metrics"
    return f"{what!r} is neither a run directory nor a claim or metric of the run; {hint}"
