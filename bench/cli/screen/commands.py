"""The commands that go on from a run: to be pasted as they stand."""

from __future__ import annotations

from pathlib import Path

from bench.cli.console import command
from bench.model import Plan

CHECKS = "check"
"""The family that no user asks for: it comes with every slice."""


def families_of(plan: Plan) -> list[str]:
    """The families that a run was asked for: the first parts of its metrics' names."""
    found = dict.fromkeys(metric.name.partition(".")[0] for metric in plan.metrics)
    return [name for name in found if name != CHECKS]


def repeat(directory: Path) -> str:
    """The command that makes a run's plan again."""
    return command("run", "--like", directory)


def resume(directory: Path) -> str:
    """The command that goes on with a run that was cut."""
    return command("run", "--resume", directory)


def show_all(directory: Path) -> str:
    """The command that shows the rest."""
    return command("show", directory, "--all")
