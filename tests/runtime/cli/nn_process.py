"""How the tests call the thin `nn`: as a process, started as an installed one, without the user's config."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.paths import REPOSITORY

START = (
    f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from runtime.cli.start.nn import script; script()"
)
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
        timeout=120,
        env=environment(config, host, **more),
    )


def compile_nn(target: Path, python: str, place: str = str(REPOSITORY)) -> None:
    """Compile what an editable install puts there, by setup.py's own function. It imports as a build does."""
    wanted = ("LAUNCHER", "compile_nn")
    parts = [
        one
        for one in ast.parse((REPOSITORY / "setup.py").read_text()).body
        if (isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) in wanted)
        or (isinstance(one, ast.FunctionDef) and one.name in wanted)
    ]
    names = {one.__name__: one for one in (json, os, shlex, shutil, subprocess, tempfile)} | {"Path": Path}
    exec(compile(ast.Module(parts, []), "setup.py", "exec"), names)  # noqa: S102 - it is our own
    names["compile_nn"](REPOSITORY / "runtime/cli/start/nn.c", target, python, place)
