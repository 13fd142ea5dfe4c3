"""The request for a container, in Docker's terms (Engine API v1.45, `POST /containers/create`).

These are the engine's terms too: a record on disk keeps the request word for word, and `inspect` returns it.
Clients send null for what they leave open, so every field may be None where Docker allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from typing_extensions import dataclass_transform

Cells = Annotated[int, msgspec.Meta(ge=0)]
"""Rows or columns of a terminal."""
_MOST_CELLS = (1 << 16) - 1
"""The most that the kernel keeps."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Body(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Base of all documents with Docker's capitalised names. Unknown fields are ignored, as Docker does.

    omit_defaults: where Docker leaves empty fields out.
    """


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Base of query structs. Fields are named as in the URL (else `name=` of msgspec.field).

    A bool takes Docker's spellings (0, false, no, none and "" are false), a list takes repeated parameters, a
    dict or a tuple takes JSON (`filters`, `ulimits`). Unknown parameters are ignored.
    """


class FilterQuery(Query, frozen=True):
    """The query of requests that only filter."""

    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)


class Healthcheck(Body, frozen=True, omit_defaults=True):
    """How health is probed. test: [] inherit, ["NONE"], ["CMD", …] or ["CMD-SHELL", line]; times in ns."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    retries: int = 0
    start_period: int = 0
    start_interval: int = 0


class Config(Body, frozen=True):
    """The part of a container that does not depend on the host; an image's config has the same form."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, Any] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    healthcheck: Healthcheck | None = None
    image: str = ""
    volumes: dict[str, Any] | None = None
    working_dir: str = ""
    entrypoint: list[str] | str | None = None
    network_disabled: bool | None = None
    mac_address: str | None = None
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    shell: list[str] | None = None


class PortBinding(Body, frozen=True):
    """Where on the host a port is published; an empty host_port takes a free one, a range the first free."""

    host_ip: str | None = ""
    host_port: str | None = ""


class RestartPolicy(Body, frozen=True):
    """name: "", no, always, unless-stopped, on-failure."""

    name: str = ""
    maximum_retry_count: int = 0


class LogConfig(Body, frozen=True):
    """type: json-file, local (kept as json-file) or none; config: max-size, max-file, labels, env, tag."""

    type: str = ""
    config: dict[str, str] | None = None


class BindOptions(Body, frozen=True, omit_defaults=True):
    """Of a mount of type bind."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class DriverConfig(Body, frozen=True, omit_defaults=True):
    """A volume driver; only `local` is known."""

    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(Body, frozen=True, omit_defaults=True):
    """Of a mount of type volume."""

    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverConfig | None = None
    subpath: str = ""


class TmpfsOptions(Body, frozen=True, omit_defaults=True):
    """Of a mount of type tmpfs. size_bytes 0: the kernel's own limit, half of the memory.

    options: [["exec"]] or [["noexec"]].
    """

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class MountRequest(Body, frozen=True, omit_defaults=True):
    """One `--mount`. type: bind, volume or tmpfs."""

    type: str = msgspec.field(default_factory=lambda: "volume")  # and so it is told, too
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class DeviceRequest(Body, frozen=True):
    """Devices of a driver, as `--gpus` asks for them; no driver is known."""

    driver: str = ""
    count: int = 0
    device_ids: list[str] | None = msgspec.field(default=None, name="DeviceIDs")
    capabilities: list[list[str] | None] | None = None
    options: dict[str, str] | None = None


class DeviceMapping(Body, frozen=True):
    """One `--device`."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


class Ulimit(Body, frozen=True):
    """One `--ulimit`; -1 is unlimited."""

    name: str
    soft: int
    hard: int


class ThrottleDevice(Body, frozen=True):
    """A limit of one block device, in bytes or operations a second."""

    path: str
    rate: int


class WeightDevice(Body, frozen=True):
    """A weight of one block device."""

    path: str
    weight: int


class Resources(Body, frozen=True):
    """Limits; also the body of `POST /containers/{id}/update`. Zero and None: not limited, or unchanged.

    cpu_count, cpu_percent, io_maximum_*: of Windows; kept and shown, as docker does.
    """

    cpu_shares: int | None = 0
    memory: int | None = 0
    nano_cpus: int | None = 0
    cgroup_parent: str = ""
    blkio_weight: int | None = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int | None = 0
    cpu_quota: int | None = 0
    cpu_realtime_period: int | None = 0
    cpu_realtime_runtime: int | None = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequest] | None = None
    memory_reservation: int | None = 0
    memory_swap: int | None = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int | None = 0
    cpu_percent: int | None = 0
    io_maximum_iops: int | None = msgspec.field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int | None = msgspec.field(default=0, name="IOMaximumBandwidth")


class UpdateRequest(Resources, frozen=True):
    """Body of `POST /containers/{id}/update`."""

    restart_policy: RestartPolicy | None = None


class HostConfig(Resources, frozen=True):
    """The part of a container that depends on the host."""

    binds: list[str] | None = None
    container_id_file: str = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: list[Cells] | None = None
    annotations: dict[str, str] | None = None
    mounts: list[MountRequest] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = msgspec.field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int | None = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = ""
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None


class IpamConfig(Body, frozen=True, omit_defaults=True):
    """The addresses that an endpoint asks for."""

    ipv4_address: str = msgspec.field(default="", name="IPv4Address")
    ipv6_address: str = msgspec.field(default="", name="IPv6Address")
    link_local_ips: list[str] | None = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointSettings(Body, frozen=True):
    """A container on one network: what was asked (upper part), and what it has while it runs."""

    ipam_config: IpamConfig | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    network_id: str = msgspec.field(default="", name="NetworkID")
    endpoint_id: str = msgspec.field(default="", name="EndpointID")
    gateway: str = ""
    ip_address: str = msgspec.field(default="", name="IPAddress")
    ip_prefix_len: int = msgspec.field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = msgspec.field(default="", name="IPv6Gateway")
    global_ipv6_address: str = msgspec.field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = msgspec.field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = msgspec.field(default=None, name="DNSNames")


class NetworkingConfig(Body, frozen=True):
    """Networks asked for at the creation, by name or id."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class CreateRequest(Config, frozen=True):
    """Body of `POST /containers/create`: a Config with two more fields for the other parts.

    memory and what follows: where old clients put these parts of the host_config.
    """

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None
    memory: int | None = 0
    memory_swap: int | None = 0
    cpu_shares: int | None = 0
    cpuset: str = ""
    cpuset_cpus: str = ""
    volume_driver: str = ""


def console_size(asked: Sequence[int] | None) -> tuple[int, int]:
    """Return rows and columns. As in docker, missing ones are 0, and what follows them is ignored."""
    rows, columns, *_ = (*(asked or ()), 0, 0)
    return min(rows, _MOST_CELLS), min(columns, _MOST_CELLS)
