"""How the tests call the thin `nn`: as a process, started as an installed one, without the user's config."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from runtime.cli.nn import script; script()"
LINE = (sys.executable, "-SEI", "-c", START)


def environment(config: Path, host: str = "", **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NN_", "DOCKER_"))}
    chosen = {"NN_CONFIG": str(config), "DOCKER_CONFIG": str(config / "docker")}
    return kept | chosen | ({"NN_HOST": host} if host else {}) | more


def call(
    *words: object, config: Path, host: str = "", stdin: bytes | None = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*LINE, *map(str, words)],
        input=stdin,
        capture_output=True,
        timeout=60,
        env=environment(config, host, **more),
    )
