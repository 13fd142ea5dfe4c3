"""Run a tool of the host and raise its failure as one message; build a cached file or directory once."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vm.errors import VmError, VmUnavailableError

PACKAGES = {
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "musl-gcc": "musl-tools",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "apt-cache": "apt",
    "mmdebstrap": "mmdebstrap",
}


def run(argv: Sequence[str | Path], what: str, cwd: Path | None = None) -> bytes:
    """Return standard output of `argv`. VmUnavailableError if the tool is missing, VmError if it fails."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, capture_output=True, cwd=cwd, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        package = PACKAGES.get(words[0], words[0])
        raise VmUnavailableError(
            f"{what}: {words[0]} is not installed; install the package {package}"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise VmError(
            f"{what}: {words[0]} ended with {done.returncode}: {said[-1] if said else 'no message'}"
        )
    return done.stdout


def cached(target: Path, build: Callable[[Path], None]) -> Path:
    """Return `target`, built once: `build` gets a path beside it, which is renamed when complete.

    A lock file keeps two processes from building the same thing. A killed build leaves only a directory
    `.build-…`, which the next build removes.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(target.parent / f".lock-{target.name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(target, build)
    finally:
        os.close(lock)
    return target


def _build(target: Path, build: Callable[[Path], None]) -> None:
    prefix = f".build-{target.name}-"
    for stale in target.parent.glob(prefix + "*"):
        shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        made = scratch / target.name
        build(made)
        made.rename(target)
    except OSError as error:
        raise VmError(
            f"build {target}: {error.strerror or error}; check the free space and the permissions"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
