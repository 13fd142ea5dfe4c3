"""The commands that go on from a run: to be pasted as they stand."""

from __future__ import annotations

from pathlib import Path

from bench.cli.console import command


def repeat(directory: Path) -> str:
    """The command that makes a run's plan again."""
    return command("run", "--like", directory)


def resume(directory: Path) -> str:
    """The command that goes on with a run that was cut."""
    return command("run", "--resume", directory)


def show_all(directory: Path) -> str:
    """The command that shows the rest."""
    return command("show", directory, "--all")
