"""Facts of this host that docker's API shows. Read once: a running host does not change in these."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path
from typing import Any

import msgspec

from runtime.network.host.settings import forwards
from runtime.spawn import apparmor
from runtime.spawn.cgroups import CgroupError, controllers_at, find_delegated, find_layout


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """cpu_list, node_list: as the kernel writes sets, `0-3`. swap_limit: swap can be limited.

    apparmor: profiles are enforced, and can be loaded. oom_score_adj: this process's own, which its children
    inherit.
    """

    cpus: int
    cpu_list: str
    node_list: str
    memory_bytes: int
    cgroup_version: int
    controllers: frozenset[str]
    swap_limit: bool
    kernel: str
    machine: str
    system: str
    system_version: str
    hostname: str
    apparmor: bool = False
    oom_score_adj: int = 0


@functools.cache
def host_facts() -> HostFacts:
    """Return the facts of this host."""
    version, controllers, swap_limit = _cgroups()
    release = _release()
    return HostFacts(
        cpus=os.cpu_count() or 1,
        cpu_list=_read("/sys/devices/system/cpu/online") or f"0-{(os.cpu_count() or 1) - 1}",
        node_list=_read("/sys/devices/system/node/online") or "0",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cgroup_version=version,
        controllers=controllers,
        swap_limit=swap_limit,
        kernel=platform.release(),
        machine=platform.machine(),
        system=release.get("PRETTY_NAME", "Linux"),
        system_version=release.get("VERSION_ID", ""),
        hostname=platform.node(),
        apparmor=apparmor.is_on(),
        oom_score_adj=int(_read("/proc/self/oom_score_adj") or 0),
    )


def feature_flags(facts: HostFacts) -> dict[str, Any]:
    """Return the flags of `GET /info` for the limits that this host supports."""
    has = facts.controllers.__contains__
    return {
        "memory_limit": has("memory"),
        "swap_limit": facts.swap_limit,
        "cpu_cfs_period": has("cpu"),
        "cpu_cfs_quota": has("cpu"),
        "cpu_shares": has("cpu"),
        "cpu_set": has("cpuset"),
        "pids_limit": has("pids"),
        "ipv4_forwarding": forwards(),
        "bridge_nf_iptables": _read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1",
        "bridge_nf_ip6tables": _read("/proc/sys/net/bridge/bridge-nf-call-ip6tables") == "1",
        "oom_kill_disable": facts.cgroup_version == 1,
    }


def _cgroups() -> tuple[int, frozenset[str], bool]:
    try:
        layout = find_layout()
    except CgroupError:
        return 1, frozenset(), False
    if layout.v1:
        swap = Path(layout.v1.get("memory", "/nowhere"), "memory.memsw.limit_in_bytes").exists()
        return 1, frozenset(layout.v1), swap
    ours = f"{layout.v2}{find_delegated(layout)}"  # a unit may have been given some of the host's only
    return 2, controllers_at(ours), Path("/proc/swaps").exists()


def _release() -> dict[str, str]:
    lines = (_read("/etc/os-release") or _read("/usr/lib/os-release")).splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name: value.strip().strip('"') for name, _, value in pairs}


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
