"""Where Go is, and how tests run that it has compiled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def find_go() -> str | None:
    """Return the newest one that the distribution has installed, else the one on PATH."""
    newest = sorted(Path("/usr/lib").glob("go-1.*/bin/go"), key=lambda one: int(one.parts[3][5:]))
    return str(newest[-1]) if newest else shutil.which("go")


def run_tests(program: Path, directory: Path, log: Path, environment: Mapping[str, str], *flags: str) -> None:
    """Run a package's compiled tests where their files are; what they say, pass or fail, goes to `log`."""
    with log.open("wb") as out:
        command = [str(program), "-test.v", *flags]
        subprocess.run(command, cwd=directory, env=environment, stdout=out, stderr=out, check=False)
