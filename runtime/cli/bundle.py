"""What `nn run` needs before it asks the daemon, in one file: imports of ten take half a millisecond more.

It lies in __pycache__. The launcher reads it, and its first part, unbundle.py, makes modules of the others.
The first `nn run` that finds none, or one that is older than its sources, makes it, where it may write.
"""

from __future__ import annotations

import marshal
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    *("errors", "endpoint", "ahead", "jsontext", "wire", "client"),
    *("flags", "run_flags", "creating", "running", "nn"),
)
"""Modules, each after those that it imports."""


def path() -> Path:
    """Return where it is for this Python."""
    return HERE / f"__pycache__/run.{sys.implementation.cache_tag}"


def write() -> None:
    """Make it, whole or not at all. OSError where that is not allowed."""
    parts = []
    for name in NAMES:
        source = HERE / f"{name}.py"
        state = source.stat()
        code = marshal.dumps(compile(source.read_bytes(), str(source), "exec"))
        parts.append((f"runtime.cli.{name}", str(source), state.st_mtime_ns, state.st_size, code))
    loader = HERE / "unbundle.py"
    first = compile(loader.read_bytes(), str(loader), "exec")
    new = path().with_name(f"run.{os.getpid()}")
    try:
        new.write_bytes(marshal.dumps((first, parts)))
        new.replace(path())
    finally:
        new.unlink(missing_ok=True)
