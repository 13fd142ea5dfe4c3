"""Answers that are put together elsewhere, as the OpenAPI document describes them: field for field."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import dataclass_transform

from runtime.engine.service.model.request import Body


class Exact(Body, forbid_unknown_fields=True):
    """A document that has these fields and no others."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Plain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, with names in small letters."""


# ---- exec ------------------------------------------------------------------------------------------------


class ProcessConfig(Plain):
    """What an exec runs."""

    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: str | UnsetType = UNSET


class ExecAnswer(Exact):
    """An exec. exit_code: null while it runs and before; pid: on the host, 0 without a process."""

    id: str = msgspec.field(name="ID")
    running: bool
    exit_code: int | None
    process_config: ProcessConfig
    open_stdin: bool
    open_stderr: bool
    open_stdout: bool
    can_remove: bool
    container_id: str = msgspec.field(name="ContainerID")
    detach_keys: str
    pid: int


# ---- events and progress ---------------------------------------------------------------------------------


class Actor(Exact):
    """Whom it happened to. attributes: names, labels, and what the action has to say."""

    id: str = msgspec.field(name="ID")
    attributes: dict[str, str]


class EventAnswer(Exact, kw_only=True):
    """An event, one a line. status, id, from: of containers and images, for old clients. time: Unix."""

    status: str | UnsetType = msgspec.field(default=UNSET, name="status")
    old_id: str | UnsetType = msgspec.field(default=UNSET, name="id")
    old_from: str | UnsetType = msgspec.field(default=UNSET, name="from")
    type: str
    action: str
    actor: Actor
    scope: str = msgspec.field(name="scope")
    time: int = msgspec.field(name="time")
    time_nano: int = msgspec.field(name="timeNano")


class ErrorDetail(Plain):
    """Why a work failed that had begun. code: the exit status of a program that ended it."""

    message: str
    code: int | UnsetType = UNSET


class ProgressDetail(Plain):
    """How far it is: bytes, of how many."""

    current: int | UnsetType = UNSET
    total: int | UnsetType = UNSET


class ProgressAnswer(Plain):
    """What happens, one a line. stream: text of a build; aux: ids and digests; error: it failed."""

    status: str | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    progress: str | UnsetType = UNSET
    progress_detail: ProgressDetail | UnsetType = msgspec.field(default=UNSET, name="progressDetail")
    aux: dict[str, Any] | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_detail: ErrorDetail | UnsetType = msgspec.field(default=UNSET, name="errorDetail")


# ---- stats -----------------------------------------------------------------------------------------------


class CpuUsage(Plain):
    """Processor time in ns."""

    total_usage: int
    usage_in_kernelmode: int
    usage_in_usermode: int
    percpu_usage: list[int] | UnsetType = UNSET


class Throttling(Plain):
    """Periods of a limit, how many of them ran out, and the time in ns that was waited then."""

    periods: int
    throttled_periods: int
    throttled_time: int


class CpuStats(Plain):
    """The container's time, and the whole host's in ns."""

    cpu_usage: CpuUsage
    throttling_data: Throttling
    system_cpu_usage: int | UnsetType = UNSET
    online_cpus: int | UnsetType = UNSET


class MemoryStats(Plain):
    """Bytes; empty while it does not run."""

    usage: int | UnsetType = UNSET
    max_usage: int | UnsetType = UNSET
    failcnt: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    stats: dict[str, int] | UnsetType = UNSET


class PidsStats(Plain):
    """Processes and threads."""

    current: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class IoRow(Plain):
    """A device and what was done to it."""

    major: int
    minor: int
    op: str
    value: int


class StatsAnswer(Plain):
    """What a container uses, one document a second."""

    id: str
    name: str
    read: str
    preread: str
    num_procs: int
    pids_stats: PidsStats
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    blkio_stats: dict[str, list[IoRow] | None]
    storage_stats: dict[str, int]
    networks: dict[str, dict[str, int]] | UnsetType = UNSET


# ---- the daemon ------------------------------------------------------------------------------------------


class Registry(Exact):
    """How a registry is spoken to."""

    name: str
    mirrors: list[str]
    secure: bool
    official: bool


class RegistryConfig(Exact):
    """How registries are spoken to."""

    allow_artifacts_cidrs: None = msgspec.field(name="AllowNondistributableArtifactsCIDRs")
    allow_artifacts_hostnames: None = msgspec.field(name="AllowNondistributableArtifactsHostnames")
    insecure_cidrs: list[str] = msgspec.field(name="InsecureRegistryCIDRs")
    index_configs: dict[str, Registry]
    mirrors: list[str] | None


class Drivers(Exact):
    """Names of what there is."""

    volume: list[str]
    network: list[str]
    authorization: None
    log: list[str]


class Swarm(Exact):
    """There is none."""

    node_id: str = msgspec.field(name="NodeID")
    node_addr: str
    local_node_state: str
    control_available: bool
    error: str
    remote_managers: None


class Commit(Exact):
    """A program's version, if it is another's."""

    id: str = msgspec.field(name="ID")
    expected: str


class AddressPoolRow(Exact):
    """What networks without a subnet are cut from."""

    base: str
    size: int


class InfoAnswer(Exact):
    """What the daemon holds and where it runs. mem_total: bytes. execution_driver: before API 1.25."""

    id: str = msgspec.field(name="ID")
    containers: int
    containers_running: int
    containers_paused: int
    containers_stopped: int
    images: int
    driver: str
    driver_status: list[list[str]]
    plugins: Drivers
    memory_limit: bool
    swap_limit: bool
    cpu_cfs_period: bool
    cpu_cfs_quota: bool
    cpu_shares: bool = msgspec.field(name="CPUShares")
    cpu_set: bool = msgspec.field(name="CPUSet")
    pids_limit: bool
    ipv4_forwarding: bool = msgspec.field(name="IPv4Forwarding")
    bridge_nf_iptables: bool
    bridge_nf_ip6tables: bool = msgspec.field(name="BridgeNfIp6tables")
    oom_kill_disable: bool
    debug: bool
    n_fd: int = msgspec.field(name="NFd")
    n_goroutines: int = msgspec.field(name="NGoroutines")
    system_time: str
    logging_driver: str
    cgroup_driver: str
    cgroup_version: str
    n_events_listener: int = msgspec.field(name="NEventsListener")
    kernel_version: str
    operating_system: str
    os_version: str = msgspec.field(name="OSVersion")
    os_type: str = msgspec.field(name="OSType")
    architecture: str
    index_server_address: str
    registry_config: RegistryConfig
    n_cpu: int = msgspec.field(name="NCPU")
    mem_total: int
    generic_resources: None
    docker_root_dir: str
    http_proxy: str
    https_proxy: str
    no_proxy: str
    name: str
    labels: list[str]
    experimental_build: bool
    server_version: str
    runtimes: dict[str, dict[str, str]]
    default_runtime: str
    swarm: Swarm
    live_restore_enabled: bool
    isolation: str
    init_binary: str
    containerd_commit: Commit
    runc_commit: Commit
    init_commit: Commit
    security_options: list[str]
    cdi_spec_dirs: list[str] = msgspec.field(name="CDISpecDirs")
    warnings: list[str] | None
    default_address_pools: list[AddressPoolRow] | UnsetType = UNSET
    execution_driver: str | UnsetType = UNSET
