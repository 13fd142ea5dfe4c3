"""What a daemon and its spawner hold on this host, counted from outside."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from runtime.engine.process_resources import MOST_CGROUPS, POOL_SIZE
from runtime.spawn.cgroups import find_layout, joined_v1
from tests.runtime.daemon_process import Daemon, leftovers

_RELAY = "runtime.network.ports.relay"


def differences(daemon: Daemon, up: int, published: int) -> list[str]:
    """What is there beyond `up` containers with processes, of which `published` have a network and a port.

    Pools may be full: that many things more are fine. A spawner that is just starting is a difference too.
    """
    try:
        return _differences(daemon, daemon.spawner_pid, up, published)
    except (OSError, ValueError) as error:
        return [f"no one spawner: {error!r}"]


def _differences(daemon: Daemon, pid: int, up: int, published: int) -> list[str]:
    busy, idle = _cgroups(pid)
    ports = len(list(_bridge_ports(pid)))
    found = {
        "cgroups with processes": (busy, up, up),
        "cgroups without": (idle, 0, MOST_CGROUPS),
        "children of the spawner": (len(list(_children(pid))), up, up),
        "links on the bridge": (ports, published, published + POOL_SIZE),
        "published ports": (_published(pid), published, published),
        "mounts of ours": (len(list(_mounts(daemon.root, pid))), 0, 0),
        # Bare ones wait, and such that are plugged into the network `bridge`.
        "network namespaces": (_descriptors(pid)["net"], published, up + 2 * POOL_SIZE + 1),
    }
    wrong = [
        f"{count} {what}, not {least} to {most}"
        for what, (count, least, most) in found.items()
        if not least <= count <= most
    ]
    runs = [path.name for path in (daemon.root / "run").iterdir()]
    if [name.partition("-")[0] for name in runs] != [str(pid)]:
        left = [str(path) for path in (daemon.root / "run").rglob("*") if f"/{pid}-" not in str(path)]
        wrong.append(f"run: {runs}: {left}")
    if list((daemon.root / "mnt").iterdir()):
        wrong.append("mnt is not empty")
    return wrong + sorted(leftovers(daemon.root, daemon.owners - {pid, daemon.pid}, processes=False))


def descriptors_of_containers(daemon: Daemon) -> dict[str, int]:
    """Open files that only containers have, where there is none: nothing is expected."""
    found = {}
    each = 2 * len(set(joined_v1(find_layout()).values())) + 2  # to join, and to be shown
    for name, pid, pipes in (("spawner", daemon.spawner_pid, 0), ("daemon", daemon.pid, 1)):
        kinds = _descriptors(pid)
        found[f"{name}: pidfds"] = kinds["anon_inode:[pidfd]"]
        found[f"{name}: pipes"] = max(0, kinds["pipe"] - pipes)  # the daemon's standard output is one
        found[f"{name}: terminals"] = kinds["/dev/pts/ptmx"]
        found[f"{name}: sockets"] = max(0, kinds["socket"] - 12)
        found[f"{name}: ready cgroups"] = max(0, kinds["pool"] - MOST_CGROUPS * each)
        found[f"{name}: files"] = max(
            0, sum(kinds.values()) - kinds["socket"] - kinds["net"] - kinds["pool"] - 20
        )
    return {what: count for what, count in found.items() if count}


def _cgroups(pid: int) -> tuple[int, int]:
    """How many of the spawner's cgroups have processes, and how many have none, whatever the hierarchies."""
    groups: dict[str, bool] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target, kind = line.split()[4], line.rpartition(" - ")[2].split()[0]
        if kind in ("cgroup", "cgroup2"):
            for path in Path(target).glob(f"nn-{pid}-*/*/"):
                with contextlib.suppress(OSError):
                    has = bool((path / "cgroup.procs").read_text())
                    groups[path.name] = groups.get(path.name, False) or has
    busy = sum(groups.values())
    return busy, len(groups) - busy


def _children(pid: int) -> Iterator[int]:
    for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if _RELAY not in Path(f"/proc/{text}/cmdline").read_text():
                yield int(text)


def _bridge_ports(pid: int) -> Iterator[str]:
    for link in Path("/sys/class/net").iterdir():
        with contextlib.suppress(OSError):
            if (link / "ifalias").read_text().startswith(f"nn {pid}-"):
                yield from (port.name for port in (link / "brif").iterdir())


def _published(pid: int) -> int:
    """How many TCP ports the spawner's rules forward on IPv4."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    for line in tables.splitlines():
        _, family, name = line.split()
        if name.startswith(f"nn_{pid}_"):
            command = ["nft", "list", "map", family, name, "tcp4_any"]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            return len(re.findall(r"\d+ : \d+\.", text))
    return 0


def _mounts(root: Path, pid: int) -> Iterator[str]:
    for owner in ("self", str(pid)):
        for line in Path(f"/proc/{owner}/mountinfo").read_text().splitlines():
            if str(root) in line:
                yield line


def _descriptors(pid: int) -> Counter[str]:
    """A process's open files by kind; those of ready cgroups and detached mounts are `pool`."""
    found: Counter[str] = Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(path.readlink())
            kind = target.partition(":[")[0] if target.endswith("]") and target[0] != "a" else target
            found["pool" if target == "/" or target.startswith("/sys/fs/cgroup/") else kind] += 1
    return found
