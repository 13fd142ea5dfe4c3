"""The document of `GET /info`: the daemon and its host."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType, field

from runtime.docker_syntax import times
from runtime.docker_syntax.log_options import DRIVERS
from runtime.engine.service.host.facts import feature_flags, host_facts
from runtime.engine.service.model.request import Body
from runtime.image.references import HUB

if TYPE_CHECKING:
    from runtime.engine.service.core import Core


class Registry(Body, forbid_unknown_fields=True):
    """How to connect to a registry."""

    name: str
    mirrors: list[str] = field(default_factory=list)
    secure: bool = False
    official: bool = False


class RegistryConfig(Body, forbid_unknown_fields=True, kw_only=True):
    """How to connect to registries."""

    allow_artifacts_cidrs: None = field(name="AllowNondistributableArtifactsCIDRs", default=None)
    allow_artifacts_hostnames: None = field(name="AllowNondistributableArtifactsHostnames", default=None)
    insecure_cidrs: list[str] = field(name="InsecureRegistryCIDRs")
    index_configs: dict[str, Registry]
    mirrors: list[str]


class Drivers(Body, forbid_unknown_fields=True):
    """Names of the available drivers."""

    volume: tuple[str, ...] = ("local",)
    network: tuple[str, ...] = ("bridge", "host", "null")
    authorization: None = None
    log: tuple[str, ...] = DRIVERS


class Swarm(Body, forbid_unknown_fields=True):
    """The state of the swarm: always inactive."""

    node_id: str = field(name="NodeID", default="")
    node_addr: str = ""
    local_node_state: str = "inactive"
    control_available: bool = False
    error: str = ""
    remote_managers: None = None


class Commit(Body, forbid_unknown_fields=True):
    """The version of a separate program; there is none."""

    id: str = field(name="ID", default="")
    expected: str = ""


class AddressPoolRow(Body, forbid_unknown_fields=True):
    """A pool for networks without a subnet."""

    base: str
    size: int


class InfoAnswer(Body, forbid_unknown_fields=True, kw_only=True):
    """Facts about the daemon and its host; those with a value here are always so.

    index_server_address: only the name under which logins are kept. mem_total: bytes. execution_driver:
    before API 1.25.
    """

    id: str = field(name="ID")
    containers: int
    containers_running: int
    containers_paused: int
    containers_stopped: int
    images: int
    driver: str = "overlay2"
    driver_status: list[list[str]]
    plugins: Drivers = Drivers()
    memory_limit: bool
    swap_limit: bool
    cpu_cfs_period: bool
    cpu_cfs_quota: bool
    cpu_shares: bool = field(name="CPUShares")
    cpu_set: bool = field(name="CPUSet")
    pids_limit: bool
    ipv4_forwarding: bool = field(name="IPv4Forwarding")
    bridge_nf_iptables: bool
    bridge_nf_ip6tables: bool = field(name="BridgeNfIp6tables")
    oom_kill_disable: bool
    debug: bool
    n_fd: int = field(name="NFd")
    n_goroutines: int = field(name="NGoroutines")
    system_time: str
    logging_driver: str
    cgroup_driver: str = "cgroupfs"
    cgroup_version: str
    n_events_listener: int = field(name="NEventsListener")
    kernel_version: str
    operating_system: str
    os_version: str = field(name="OSVersion")
    os_type: str = field(name="OSType", default="linux")
    architecture: str
    index_server_address: str = "https://index.docker.io/v1/"
    registry_config: RegistryConfig
    n_cpu: int = field(name="NCPU")
    mem_total: int
    generic_resources: None = None
    docker_root_dir: str
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    name: str
    labels: tuple[str, ...]
    experimental_build: bool
    server_version: str = "0.1.0"
    runtimes: dict[str, dict[str, str]]
    default_runtime: str = "runc"
    swarm: Swarm = Swarm()
    live_restore_enabled: bool
    isolation: str = ""
    init_binary: str = "nn-init"
    containerd_commit: Commit = Commit()
    runc_commit: Commit = Commit()
    init_commit: Commit = Commit()
    security_options: list[str]
    cdi_spec_dirs: tuple[str, ...] = field(name="CDISpecDirs", default=())
    warnings: list[str] | None
    default_address_pools: list[AddressPoolRow] | UnsetType = UNSET
    execution_driver: str | UnsetType = UNSET


def info_document(core: Core) -> InfoAnswer:
    """Return Docker's document."""
    facts, counts, settings = host_facts(), core.table.counts(), core.settings
    pools = [AddressPoolRow(base=pool.base, size=pool.size) for pool in settings.default_address_pools]
    return InfoAnswer(
        id=daemon_id(core),
        containers=counts.total(),
        containers_running=counts["running"],
        containers_paused=counts["paused"],
        containers_stopped=counts.total() - counts["running"] - counts["paused"],
        images=len(core.images.summaries(intermediate=True)),
        driver_status=[["Backing Filesystem", _file_system(core.root)], ["Supports d_type", "true"]],
        **feature_flags(facts),
        debug=logging.getLogger().isEnabledFor(logging.DEBUG),
        n_fd=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - counts itself too, as dockerd's does
        n_goroutines=threading.active_count(),
        system_time=times.text_of(time.time_ns()),
        logging_driver=settings.log_driver,
        cgroup_version=str(facts.cgroup_version),
        n_events_listener=core.events.listening(),
        kernel_version=facts.kernel,
        operating_system=facts.system,
        os_version=facts.system_version,
        architecture=facts.machine,
        registry_config=_registries(core),
        n_cpu=facts.cpus,
        mem_total=facts.memory_bytes,
        docker_root_dir=str(core.root),
        name=facts.hostname,
        labels=settings.labels,
        experimental_build=core.experimental,
        runtimes={"runc": {"path": "nn"}},
        live_restore_enabled=core.live_restore,
        security_options=_security(core),
        warnings=None if facts.swap_limit else ["WARNING: No swap limit support"],
        default_address_pools=pools or UNSET,
    )


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


def _registries(core: Core) -> RegistryConfig:
    mirrors = [_mirror(host, core.insecure) for host in core.mirrors]
    hosts = [Registry(name=name) for name in core.insecure if "/" not in name]
    hub = Registry(name=HUB, mirrors=mirrors, secure=True, official=True)
    return RegistryConfig(
        insecure_cidrs=["127.0.0.0/8", *(name for name in core.insecure if "/" in name)],
        index_configs={host.name: host for host in (hub, *hosts)},
        mirrors=mirrors,
    )


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
