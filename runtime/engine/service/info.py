"""The document of `GET /info`: the daemon and its host."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.docker_syntax import times
from runtime.docker_syntax.log_options import DRIVERS
from runtime.engine.service.host.facts import feature_flags, host_facts
from runtime.image.references import HUB

if TYPE_CHECKING:
    from runtime.engine.service.core import Core

SERVER_VERSION = "0.1.0"
_HUB = "https://index.docker.io/v1/"


def info_document(core: Core) -> dict[str, Any]:
    """Return Docker's document. IndexServerAddress is only the name under which logins are kept."""
    facts, counts = host_facts(), core.table.counts()
    return {
        "ID": daemon_id(core),
        "Containers": counts.total(),
        "ContainersRunning": counts["running"],
        "ContainersPaused": counts["paused"],
        "ContainersStopped": counts.total() - counts["running"] - counts["paused"],
        "Images": len(core.images.summaries(intermediate=True)),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", _file_system(core.root)], ["Supports d_type", "true"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": list(DRIVERS),
        },
        **feature_flags(facts),
        "Debug": logging.getLogger().isEnabledFor(logging.DEBUG),
        "NFd": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - counts itself too, as dockerd's does
        "NGoroutines": threading.active_count(),
        "SystemTime": times.text_of(time.time_ns()),
        "LoggingDriver": core.settings.log_driver,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(facts.cgroup_version),
        "NEventsListener": core.events.listening(),
        "KernelVersion": facts.kernel,
        "OperatingSystem": facts.system,
        "OSVersion": facts.system_version,
        "OSType": "linux",
        "Architecture": facts.machine,
        "IndexServerAddress": _HUB,
        "RegistryConfig": _registries(core),
        "NCPU": facts.cpus,
        "MemTotal": facts.memory_bytes,
        "GenericResources": None,
        "DockerRootDir": str(core.root),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": facts.hostname,
        "Labels": list(core.settings.labels),
        "ExperimentalBuild": core.experimental,
        "ServerVersion": SERVER_VERSION,
        "Runtimes": {"runc": {"path": "nn"}},
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": core.live_restore,
        "Isolation": "",
        "InitBinary": "nn-init",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": _security(core),
        **_pools(core),
        "CDISpecDirs": [],
        "Warnings": None if facts.swap_limit else ["WARNING: No swap limit support"],
    }


def daemon_id(core: Core) -> str:
    """Return the id of this daemon, derived from the machine and its root."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    digest = hashlib.sha256(f"{machine}:{core.root}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _security(core: Core) -> list[str]:
    found = ["name=apparmor"] * host_facts().apparmor + ["name=seccomp,profile=builtin"]
    if core.settings.default_cgroupns_mode == "private":
        found.append("name=cgroupns")
    return found + ["name=no-new-privileges"] * core.settings.no_new_privileges


def _pools(core: Core) -> dict[str, Any]:
    pools = [{"Base": pool.base, "Size": pool.size} for pool in core.settings.default_address_pools]
    return {"DefaultAddressPools": pools} if pools else {}


def _registries(core: Core) -> dict[str, Any]:
    hosts = [name for name in core.insecure if "/" not in name]
    mirrors = [_mirror(host, core.insecure) for host in core.mirrors]
    hub = {"Name": HUB, "Mirrors": mirrors, "Secure": True, "Official": True}
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "InsecureRegistryCIDRs": ["127.0.0.0/8", *(name for name in core.insecure if "/" in name)],
        "IndexConfigs": {HUB: hub, **{name: _insecure(name) for name in hosts}},
        "Mirrors": mirrors,
    }


def _insecure(name: str) -> dict[str, Any]:
    return {"Name": name, "Mirrors": [], "Secure": False, "Official": False}


def _mirror(host: str, insecure: Collection[str]) -> str:
    return f"{'http' if host in insecure else 'https'}://{host}/"


def _file_system(path: Path) -> str:
    """Return the type of the file system that `path` lies on."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, type_, *_ = line.split(" ")
        if (f"{path}/".startswith(where.rstrip("/") + "/")) and len(where) > len(best):
            best, kind = where, type_
    return kind
