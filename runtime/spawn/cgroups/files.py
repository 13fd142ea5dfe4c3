"""Read and write control files: one open, one write, one close, and an error that names the path."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable

from runtime.spawn.cgroups.limits import CgroupError


def put(path: str, value: str) -> None:
    """Write `value` to the control file `path`; CgroupError on failure."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise CgroupError(f"write {value!r} to", path, error.errno) from error


def get(path: str) -> str | None:
    """Read the control file `path`, None if it does not exist; CgroupError on other failures."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - no Path object on this path: it is hot
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CgroupError("read", path, error.errno) from error


def get_int(path: str) -> int | None:
    """Read one number, None if the file does not exist or contains `max`."""
    text = get(path)
    return int(text) if text and text.strip().lstrip("-").isdigit() else None


def get_table(path: str) -> dict[str, int]:
    """Read lines of `key number` (cpu.stat, memory.stat, memory.events); {} if the file does not exist."""
    rows = (line.split() for line in (get(path) or "").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].lstrip("-").isdigit()}


def make(path: str, *, exist_ok: bool = False) -> None:
    """Make the cgroup `path`."""
    try:
        os.mkdir(path)  # noqa: PTH102 - hot
    except FileExistsError as error:
        if not exist_ok:
            raise CgroupError("make cgroup", path, error.errno) from error
    except OSError as error:
        raise CgroupError("make cgroup", path, error.errno) from error


def remove(path: str, patience_s: float = 5.0) -> None:
    """Remove a cgroup and all cgroups below it, if it exists.

    It is busy for a moment after its last process was reaped (EBUSY): try again for `patience_s`.
    """
    deadline, pause = time.monotonic() + patience_s, 0.0002
    while True:
        try:
            os.rmdir(path)  # noqa: PTH106 - hot
            return
        except FileNotFoundError:
            return
        except OSError as error:
            below = children(path)
            late = time.monotonic() >= deadline and not below
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY) or late:
                raise CgroupError("remove cgroup", path, error.errno) from error
        for child in below:
            remove(child, max(0.0, deadline - time.monotonic()))
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def remove_all(paths: Iterable[str], patience_s: float = 5.0) -> None:
    """Remove several cgroups, within `patience_s` in total. One that stays does not keep others from going.

    Raises the CgroupError of the first that stays.
    """
    deadline, failed = time.monotonic() + patience_s, None
    for path in paths:
        try:
            remove(path, max(0.0, deadline - time.monotonic()))
        except CgroupError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def children(path: str) -> list[str]:
    """Return the paths of the cgroups directly below `path`."""
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def pids_below(path: str, file: str = "cgroup.procs") -> set[int]:
    """Return the pids in `path` and all cgroups below it."""
    found = {int(line) for line in (get(f"{path}/{file}") or "").split()}
    for child in children(path):
        found |= pids_below(child, file)
    return found
