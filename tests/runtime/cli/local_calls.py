"""How the tests call `nn`: as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Nn = Callable[..., subprocess.CompletedProcess[str]]


def command(state: Path) -> list[str]:
    return [sys.executable, "-m", "runtime.cli.nn", "--root", str(state)]
