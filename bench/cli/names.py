"""Parse the names a user typed: backends, families, CPUs. Errors list the known names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.cli.errors import USAGE, CliError
from bench.scenarios.base import Scenario
from bench.scenarios.check import FAMILY as CHECKS


def split(text: str | None) -> list[str]:
    """Split a comma- or space-separated option into words, in order, each once."""
    return list(dict.fromkeys((text or "").replace(",", " ").split()))


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
    wanted = known("backend", split(typed), names) or [name for name in profile_default if name in names]
    return ["host", *(name for name in wanted if name != "host")]


def scenarios(typed: str | None, offered: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios of the typed families, of all families if none was typed.

    Most slices use figures that a program reports by its own clock, so the check of that clock is added.
    """
    families = list(dict.fromkeys(scenario.family for scenario in offered))
    wanted = known("family", split(typed), families) or families
    if any(scenario.family in wanted and scenario.kind == "slice" for scenario in offered):
        wanted = [*wanted, CHECKS]
    return [scenario for scenario in offered if scenario.family in wanted]


def cpus(typed: str | None, allowed: Iterable[int]) -> tuple[int, ...]:
    """Return the CPUs for every arm: those typed (`0,1`), else the first two allowed. Raises CliError."""
    free = sorted(allowed)
    if typed is None:
        return tuple(free[:2])
    try:
        wanted = tuple(int(word) for word in split(typed))
    except ValueError:
        raise CliError(f"--cpus takes numbers separated by commas, not {typed!r}", USAGE) from None
    if not wanted or not set(wanted) <= set(free):
        raise CliError(f"--cpus {typed}: this process may use only {', '.join(map(str, free))}", USAGE)
    return wanted
