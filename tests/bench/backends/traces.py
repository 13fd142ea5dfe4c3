"""What one process has made on this host through a backend, by the owner that it all carries.

Other runs on this machine come and go, so nothing is counted that is not this owner's.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.backends import mounts, processes
from runtime.spawn.owner import Owner

Traces = dict[str, set[str]]


def owner_of(pid: int) -> str:
    """The text form of a process as an owner: what its things are named after."""
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{pid}-{start}-{Owner.current().pid_namespace:x}"


def traces(owner: str, state: Path) -> Traces:
    """Processes (as pid:start), mounts, cgroups, links and directories of `owner`."""
    pid, start, _ = owner.split("-")
    aliases = {link.name: _text(link / "ifalias") for link in Path("/sys/class/net").iterdir()}
    return {
        "processes": {f"{p}:{_start(p)}" for p in processes.pids() if _belongs(p, int(pid), owner)},
        "mounts": {str(path) for path in mounts.below(state) if owner in str(path)},
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*{owner}*")},
        "links": {name for name, alias in aliases.items() if owner in alias or f"{pid}:{start}" in alias},
        "directories": {str(path) for path in state.glob(f"*/{owner}")},
    }


def left_of(before: Traces, owner: str, state: Path, patience_s: float = 60.0) -> Traces:
    """What is still there of `before`, or carries `owner` now; a killed process gets a moment to be gone."""
    deadline = time.monotonic() + patience_s
    while True:
        now = traces(owner, state)
        now["processes"] |= {text for text in before["processes"] if _alive(text)}
        left = {kind: found for kind, found in now.items() if found}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _alive(text: str) -> bool:
    pid, start = text.split(":")
    return _start(int(pid)) == start


def _belongs(pid: int, maker: int, owner: str) -> bool:
    if pid == maker or not _start(pid):
        return False
    names = ("cgroup", "environ", "cmdline")
    return maker in _ancestors(pid) or any(owner in _read(pid, name) for name in names)


def _ancestors(pid: int) -> list[int]:
    found = []
    while pid := processes.parent_of(pid):
        found.append(pid)
    return found


def _read(pid: int, name: str) -> str:
    return _text(Path(f"/proc/{pid}/{name}"))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _start(pid: int) -> str:
    """A process's start time, "" for one that is gone or a zombie."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return fields[19] if fields and fields[0] not in "ZX" else ""
