"""What a user can type: the options of the verbs, and what their help says.

Nothing heavy is imported before a verb needs it: `--help` and `--version` answer at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.claims import ALPHA, BASELINE, MARGIN
from bench.cli import names
from bench.cli.console import AsJson
from bench.cli.errors import USAGE, CliError, gated, guarded
from bench.profiles import MIN_SESSIONS

NewestRun = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run directory: results/… or what was given to --out. Default: the newest below results/.",
        show_default=False,
    ),
]


@guarded
def run(
    context: typer.Context,
    backends: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Backends, separated by commas; see `ninetynine list backends`."),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Some of startup, cpu, memory, network, disk, engine, image. Default: all."
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="smoke (under a minute, no verdicts), quick (6 minutes) or full (for publication).",
        ),
    ] = "quick",
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="The seed of the plan's order. Default: random."),
    ] = None,
    cpus: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="CPUs for every backend, such as 0-1 or 0,2. Default: the first two."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help=f"How long to measure; what decides a claim is measured {MIN_SESSIONS} times in any case. "
            "Default: the profile's.",
        ),
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            metavar="",
            help="Go on past the budget while a claim is open and within reach.",
        ),
    ] = False,
    at_most: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --until-decided: measure for at most so long, such as 60m (the default).",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The run directory; new or empty. Default: below results/."
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Finish the interrupted run in this directory.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Make the plan of that run again: its seed, backends, families, CPUs, budget and prices.",
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", metavar="", help="Tune the host during the run; see `ninetynine tune --show`."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Show what would be measured and how long it would take."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Measure backends against the host, judge the claims and write a report. Needs root.

    Exit status:
    0 complete, whatever the verdicts
    1 error
    2 usage error
    3 a control failed, so the run is invalid
    130 interrupted
    """
    from bench.cli import execute, running

    running.refuse_beside(names.typed(context))
    if at_most is not None and not until_decided:
        raise CliError("--at-most limits --until-decided: give both, or --budget", USAGE)
    options = execute.Options(
        profile=profile,
        backends=backends,
        families=families,
        cpus=cpus,
        seed=seed,
        budget=budget,
        at_most=names.seconds("--at-most", at_most or names.UNTIL) if until_decided else None,
        out=out_dir,
    )
    if like is not None:
        options = running.like(like, options)
    if dry_run:
        return running.dry(options, as_json)
    return running.run(options, resume, tune, as_json)


@guarded
def report(
    run_dir: NewestRun = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write. Default: report.html in RUN."),
    ] = None,
) -> int:
    """Write a run's report (report.html) again."""
    from bench.cli import showing

    return showing.report(run_dir, out_file)


@guarded
def show(
    run_dir: NewestRun = None,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[CLAIM|METRIC]", help="Show all about it.", show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", metavar="", help="Show every verdict with its reason.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show what a run found: on one screen, all of it, or all about one claim or metric."""
    from bench.cli import showing

    return showing.show(run_dir, what, everything, as_json)


@guarded
def judge(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="A run directory; or samples as CSV, Parquet, or JSON of hyperfine, pytest-benchmark or "
            "Google Benchmark. NAME=FILE names the system; - is standard input.",
        ),
    ],
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"The system to compare with. Default: {BASELINE}.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help=f"The share of its performance to reach. Default: {MARGIN}."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="CHANCE", help=f"The chance of a false verdict, for each bound. Default: {ALPHA}."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The benchmark parameter whose values name the systems."),
    ] = None,
    holm: Annotated[
        bool,
        typer.Option(
            "--holm", metavar="", help="Apply alpha to all rows together (Holm's method), not to each row."
        ),
    ] = False,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Also write the verdicts to this file, as --json prints them."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Judge a run again, or judge samples measured with any other tool.

    Exit status:
    0 judged, whatever the verdicts
    1 a file cannot be judged, or was cut off (a run's files are repaired)
    2 usage error
    3 a control of the run failed
    """
    from bench.cli import judging

    choices = judging.Choices(baseline=baseline, margin=margin, alpha=alpha, by=by, holm=holm, out=out_file)
    return judging.judge(files, choices, as_json)


@gated
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The run directory to compare with.")],
    new: Annotated[
        Path | None, typer.Argument(metavar="NEW", help="The run directory to check, of the same host.")
    ] = None,
    gate: Annotated[
        bool,
        typer.Option("--gate", metavar="", help="Exit with 1 if something is worse, 2 if it cannot tell."),
    ] = False,
    margin: Annotated[
        float, typer.Option(metavar="SHARE", help="The share of OLD's performance that NEW must keep.")
    ] = MARGIN,
    alpha: Annotated[
        float,
        typer.Option(
            metavar="CHANCE",
            help="The chance of a false `worse` over all primary metrics, and of each bound.",
        ),
    ] = ALPHA,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="Compare although ITEM differs, for example `kernel`. Repeatable."),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Only these backends, separated by commas. Default: all of OLD."),
    ] = None,
    is_live: Annotated[
        bool,
        typer.Option(
            "--live", metavar="", help="Measure NEW now, as OLD was measured; measure what is worse again."
        ),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="With --live: seconds of measuring per run. Default: as OLD."),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="With --live: the directory for NEW; new or empty."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare two runs of one host: is NEW worse than OLD in any metric?

    Exit status:
    0 compared; with --gate: nothing is worse
    1 with --gate: something is worse
    2 with --gate: cannot tell
    3 not comparable (unreadable, another host, a failed control), or a usage error
    130 interrupted
    """
    from bench.cli import comparing

    choice = comparing.Choice(
        margin=margin,
        alpha=alpha,
        allow=tuple(allow or ()),
        backends=tuple(names.split("backend", backends)),
        budget=budget,
        out=out_dir,
        quiet=as_json,
    )
    return comparing.compare_runs(old, new, is_live, choice, gate)


@guarded
def show_list(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="backends, scenarios, metrics or runs. Default: all.",
            show_default=False,
            autocompletion=lambda: list(names.Subject),
        ),
    ] = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="The directory with the runs.")] = Path(
        "results"
    ),
    as_json: AsJson = False,
) -> int:
    """List backends (with their state here), scenarios, metrics, and runs."""
    from bench.cli import listing

    return listing.show_list(names.subject(subject), results, as_json)


@guarded
def doctor(
    quick: Annotated[
        bool, typer.Option("--quick", metavar="", help="Only check; no self-test, no forecast.")
    ] = False,
    seconds: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1.0, max=600.0, help="Seconds of measuring for the self-test."),
    ] = names.SELF_TEST_S,
    cpus: Annotated[
        str | None, typer.Option(metavar="LIST", help="CPUs, as for `run`. Default: the first two.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", metavar="", help="Also show what is fine, and what the host does not show."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check what can be measured here, how noisy it is, and how long a verdict takes.

    Exit status:
    0 fine
    1 something prevents measuring
    2 usage error
    4 too noisy for a quick run to decide 1 %
    """
    from bench.cli.doctor import diagnose

    return diagnose(quick, seconds, cpus, everything, as_json)
