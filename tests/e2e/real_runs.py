"""How these tests run `ninetynine`: as a process, with the room's cache and temporary directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from bench import journal
from tests.e2e.leftovers import Room
from tests.paths import REPOSITORY

PATIENCE_S = 300.0
"""No promise about speed: a test that waits so long hangs."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over, what it had on the host and what it left there."""

    directory: Path
    status: int
    stdout: str
    stderr: str
    seen: frozenset[str]
    left: frozenset[str]


class Ninetynine:
    """Starts `ninetynine` in a room."""

    def __init__(self, room: Room) -> None:
        self.room = room

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start it, its process noted as the owner of what appears."""
        environment = os.environ | {
            "NINETYNINE_CACHE": str(self.room.path),
            "TMPDIR": str(self.room.path / "tmp"),
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.room.started(child.pid)
        return child

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Run it to its end: (status, stdout, stderr)."""
        child = self.start(*arguments)
        stdout, stderr = child.communicate(timeout=PATIENCE_S)
        return child.returncode, stdout, stderr


def steps_of(run: Path) -> int:
    """How many steps the journal of a run has by now."""
    try:
        return len(journal.read(run / journal.NAME).done)
    except journal.StoreError:
        return 0
