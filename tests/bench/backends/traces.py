"""What one process has made on this host through a backend, by the owner that it all carries.

Other runs on this machine come and go, so nothing is counted that is not this owner's.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.backends.programs import processes
from bench.backends.resources import mounts
from runtime.network.host.settings import DIRECTORY
from runtime.network.kernel.nft import Nft
from runtime.spawn.owner import Owner
from tests.waiting import at_last

Traces = dict[str, set[str]]


def owner_of(pid: int) -> str:
    """The text form of a process as an owner: what its things are named after."""
    start = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{pid}-{start}-{Owner.current().pid_namespace:x}"


def traces(owner: str, state: Path) -> Traces:
    """Processes (as pid:start), mounts, cgroups, links, firewall tables, users of settings, directories.

    What the processes of `owner` have made under names of their own, as a daemon's spawner does, is its too.
    """
    pid, start, namespace = owner.split("-")
    members = {f"{p}:{_start(p)}" for p in processes.pids() if _belongs(p, int(pid), owner)}
    owners = {owner, f"{pid}:{start}", *(f"{text.replace(':', '-')}-{namespace}" for text in members)}
    return {
        "processes": members,
        "mounts": {str(path) for path in mounts.below(state) if owner in str(path)},
        "cgroups": {str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*{owner}*")},
        "links": {name for name, alias in _links().items() if any(one in alias for one in owners)},
        "tables": {name for name in _tables() if any(one.replace("-", "_") in name for one in owners)},
        "settings": _users_of_settings() & owners,
        "directories": {str(path) for path in state.glob(f"*/{owner}")},
    }


def left_of(before: Traces, owner: str, state: Path) -> Traces:
    """What is still there of `before`, or carries `owner` now; a killed process gets a moment to be gone."""

    def left() -> Traces:
        now = traces(owner, state)
        now["processes"] |= {text for text in before["processes"] if _alive(text)}
        now["links"] |= before["links"] & set(_links())
        now["tables"] |= before["tables"] & _tables()
        now["settings"] |= before["settings"] & _users_of_settings()
        return {kind: found for kind, found in now.items() if found}

    found: Traces = at_last(left, {})
    return found


def _links() -> dict[str, str]:
    """Name → alias of the host's links."""
    return {link.name: _text(link / "ifalias") for link in Path("/sys/class/net").iterdir()}


def _tables() -> set[str]:
    """The host's firewall tables."""
    nft = Nft()
    try:
        return {row["table"]["name"] for row in nft.query("list tables inet") if "table" in row}
    finally:
        nft.close()


def _users_of_settings() -> set[str]:
    """Whoever is noted as in need of changed settings of the host."""
    texts = [_text(note) for note in DIRECTORY.glob("settings-*.json")]  # "": removed meanwhile
    return {user for text in texts if text for user in json.loads(text)["users"]}


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
