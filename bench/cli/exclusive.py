"""One run at a time on a CPU: a lock for each, freed by the kernel however its holder ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.cli.errors import CliError
from bench.host.check import cpu_list
from bench.journal import write_error

DIRECTORY = "measuring"
"""Below the cache: a file for each CPU that was ever measured on, with what measures there."""


@contextlib.contextmanager
def measuring(cache: Path, cpus: Sequence[int], what: str, note: Callable[[str], None]) -> Iterator[None]:
    """Hold `cpus` while the block measures on them.

    what: named to whoever comes second. Whoever measures on other CPUs is only noted: they share caches,
    memory and disks. Raises CliError where one of the CPUs is held, StoreError where there can be no locks.
    """
    with contextlib.ExitStack() as stack:
        folder = cache / DIRECTORY
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files = {cpu: _opened(folder / str(cpu), stack) for cpu in sorted(set(cpus))}
        except OSError as error:
            raise write_error("make the lock of", folder, error) from error
        for cpu, file in files.items():
            if not _locked(file):
                raise CliError(
                    f"{_holder(file)} measures on CPU {cpu}, and two runs there would measure each other: "
                    "wait until it has ended, or give other CPUs with --cpus"
                )
        for file in files.values():
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} ({what})".encode(), 0)
        for text, others in _beside(folder, set(files)).items():
            note(f"{text} measures on CPUs {cpu_list(others)} at the same time: both will be noisier")
        yield


def _opened(path: Path, stack: contextlib.ExitStack) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    stack.callback(os.close, file)
    return file


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file: int) -> str:
    return os.pread(file, 4096, 0).decode(errors="replace") or "another process"


def _beside(folder: Path, ours: set[int]) -> dict[str, list[int]]:
    """Who measures on other CPUs, and on which."""
    found: dict[str, list[int]] = {}
    for path in folder.iterdir():
        if path.name.isdecimal() and int(path.name) not in ours:
            with contextlib.ExitStack() as stack:
                file = _opened(path, stack)
                if not _locked(file):
                    found.setdefault(_holder(file), []).append(int(path.name))
    return found
