"""Compile our workload programs statically, so that they run in any image and need no dynamic linking."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.image.recipe import ImageError

_FLAGS = re.compile(r"\A/\* cc: ([^\n*]*)")
_COMMON = ("-O2", "-Wall", "-Wl,--build-id=none", "-s")


def flags(source: str) -> tuple[str, ...]:
    """Return the compiler flags of a C source: those of a first line `/* cc: FLAGS`, else `-static`."""
    found = _FLAGS.match(source)
    return tuple(found[1].split()) if found else ("-static",)


def compile_all(sources: list[Path], destination: Path, epoch: int) -> list[Path]:
    """Compile each `NAME.c` to `destination/NAME`, mode 755. Raises ImageError with the compiler's
    message."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise ImageError("compile workloads: no C compiler found; install gcc and libc6-dev")
    destination.mkdir(parents=True, exist_ok=True)
    return [_compile(compiler, source, destination / source.stem, epoch) for source in sources]


def _compile(compiler: str, source: Path, program: Path, epoch: int) -> Path:
    own = flags(source.read_text())
    # Relative names, so that no path of this machine gets into the program.
    argv = [compiler, *_COMMON, *own, "-o", str(program.resolve()), source.name]
    if "-nostdlib" not in own:
        argv.append("-lm")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C"}
    done = subprocess.run(argv, cwd=source.parent, env=environment, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip()]
        raise ImageError(f"compile {source.name}: {errors[0]}; are gcc and libc6-dev installed?")
    program.chmod(0o755)
    return program
