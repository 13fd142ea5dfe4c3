"""Parse the names a user typed: backends, families, CPUs. Errors list the known names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import typer

from bench.cli.errors import USAGE, CliError
from bench.host.check import cpu_list, cpu_set
from bench.scenarios.base import Scenario
from bench.scenarios.check import FAMILY as CHECKS

LEAST_BUDGET_S, MOST_BUDGET_S = 10, 86_400
"""Limits of --budget: a session of one family takes about ten seconds; more than a day is two runs."""

UNTIL, UNTIL_MIN = "60m", 60.0
"""How long --until-decided goes on at most, unless --at-most says otherwise."""

SELF_TEST_S = 20.0
"""How long `doctor` measures, unless --seconds says otherwise."""

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}

_HUGE = re.compile(r"\d{6}")
"""No machine has such a CPU, and `0-999999999` would become a set of as many."""


class Subject(StrEnum):
    """What can be listed."""

    backends = "backends"
    scenarios = "scenarios"
    metrics = "metrics"
    runs = "runs"


def typed(context: typer.Context) -> list[str]:
    """The options of a command line, as its help names them; what a default filled in is not there.

    By the source's name: typer brings its own click in some versions.
    """
    return [
        one.opts[0]
        for one in context.command.params
        if getattr(context.get_parameter_source(one.name or ""), "name", "") == "COMMANDLINE"
    ]


def split(kind: str, text: str | None) -> list[str]:
    """Split a comma- or space-separated option into words, in order, each once.

    Raises CliError (status 2) where a name is empty: `runtime,,host` is a name that was lost.
    """
    words = re.split(r"\s*,\s*|\s+", text.strip()) if text is not None else []
    if "" in words:
        raise CliError(f"an empty {kind} in {text!r}: write names with one comma between them", USAGE)
    return list(dict.fromkeys(words))


def seconds(option: str, text: str) -> float:
    """Return a length of time: `90`, `90s`, `60m`, `1.5h`. Raises CliError (status 2)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if found is None:
        raise CliError(f"{option} {text}: give a time such as 90s, 60m or 2h", USAGE)
    return float(found[1]) * _UNITS[found[2]]


def subject(typed: str | None) -> Subject | None:
    """Return what is to be listed; None: everything. Raises CliError (status 2)."""
    return None if typed is None else Subject(known("list", [typed], list(Subject))[0])


def known(kind: str, typed: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the typed names. Raises CliError (status 2), which lists the known ones, if one is unknown."""
    found = list(typed)
    strangers = [name for name in found if name not in names]
    if strangers:
        raise CliError(
            f"unknown {kind} {', '.join(map(repr, strangers))}: choose from {', '.join(names)}", USAGE
        )
    return found


def backends(typed: str | None, profile_default: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the backends to measure; the host comes first, as the baseline of every ratio."""
    usual = [name for name in profile_default if name in names]
    wanted = known("backend", split("backend", typed), names) or usual
    return ["host", *(name for name in wanted if name != "host")]


def scenarios(typed: str | None, offered: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios of the typed families, of all families if none was typed.

    Most slices use figures that a program reports by its own clock, so the check of that clock is added.
    """
    families = list(dict.fromkeys(scenario.family for scenario in offered))
    wanted = known("family", split("family", typed), families) or families
    if any(scenario.family in wanted and scenario.kind == "slice" for scenario in offered):
        wanted = [*wanted, CHECKS]
    return [scenario for scenario in offered if scenario.family in wanted]


def cpus(typed: str | None, allowed: Iterable[int]) -> tuple[int, ...]:
    """Return the CPUs for every arm: those typed (`0,1` or `0-1`), else the first two allowed.

    Raises CliError (status 2).
    """
    free = sorted(allowed)
    if typed is None:
        return tuple(free[:2])
    wanted = sorted(cpu_set(",".join(typed.replace(",", " ").split()))) if not _HUGE.search(typed) else []
    if not wanted:
        raise CliError(f"--cpus takes numbers and ranges, such as 0,1 or 0-3, not {typed!r}", USAGE)
    if not set(wanted) <= set(free):
        raise CliError(f"--cpus {typed}: this process may use only {cpu_list(free)}", USAGE)
    return tuple(wanted)
