"""The command line `ninetynine`: run, judge, compare, report, doctor, tune, untune, list, show."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Annotated

import typer

from bench.cli import tuning, verbs
from bench.cli.console import make_writable
from bench.cli.errors import Gated
from bench.cli.help import Verb, Verbs

__all__ = ["app", "main"]

app = typer.Typer(
    name="ninetynine",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Does a container start in a second and give you 99 % of the host's performance? Measure it here.",
)

_RUN = "results/20261124-090000-ab12cd"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ninetynine {importlib.metadata.version('ninetynine')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


_verb = functools.partial(app.command, cls=Verb)

_verb("run", epilog="Example: ninetynine run --backends host,runtime --families cpu,memory --seed 7")(
    verbs.run
)
_verb("show", epilog=f"Example: ninetynine show {_RUN} --json")(verbs.show)
_verb("report", epilog=f"Example: ninetynine report {_RUN} --out /tmp/report.html")(verbs.report)
_verb("judge", epilog="Example: ninetynine judge old=before.json new=after.json --baseline old")(verbs.judge)
app.command(
    "compare",
    cls=Gated,
    epilog="Example: ninetynine compare results/monday results/tuesday --gate --margin 0.95",
)(verbs.compare)
_verb("list", epilog="Example: ninetynine list metrics")(verbs.show_list)
_verb("doctor", epilog="Example: ninetynine doctor --json")(verbs.doctor)
_verb(
    "tune",
    context_settings={"allow_interspersed_args": False},
    epilog="Example: ninetynine tune -- ninetynine run --families cpu,memory",
)(tuning.tune)
_verb("untune", epilog="Example: ninetynine untune --json")(tuning.untune)


def main() -> None:
    """Run the command line."""
    make_writable()
    app()
