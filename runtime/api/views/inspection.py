"""The document of `GET /containers/{id}/json`."""

from __future__ import annotations

import platform
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType

from runtime.api.views.images import GraphDriver, config_document
from runtime.api.views.mounts_and_ports import Mount, mount, port_map
from runtime.docker_syntax.times import NEVER
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.model.record import ContainerRecord, State
from runtime.engine.service.model.request import Body, Config, EndpointSettings, HostConfig, PortBinding
from runtime.engine.service.networks.live_network import at_rest, shown
from runtime.engine.service.rules.security import apparmor_of
from runtime.engine.service.service import Service

_LEFT_OUT_OF_HOST = frozenset({"Annotations", "Mounts", "StorageOpt", "Tmpfs", "Sysctls", "Init"})


class ProbeDocument(Body):
    """One probe of health."""

    start: str
    end: str
    exit_code: int
    output: str


class HealthDocument(Body):
    """The health at the last probe."""

    status: str
    failing_streak: int
    log: list[ProbeDocument]


class StateDocument(Body, kw_only=True):
    """The state of a container."""

    status: str
    running: bool
    paused: bool
    restarting: bool
    oom_killed: bool = msgspec.field(name="OOMKilled")
    dead: bool
    pid: int
    exit_code: int
    error: str
    started_at: str
    finished_at: str
    health: HealthDocument | UnsetType = UNSET


class NetworkSettings(Body, kw_only=True):
    """Addresses and ports. The top-level addresses are those on the network `bridge`, for old clients."""

    bridge: str = ""
    sandbox_id: str = msgspec.field(name="SandboxID")
    sandbox_key: str
    ports: dict[str, list[PortBinding] | None]
    hairpin_mode: bool = False
    link_local_ipv6_address: str = msgspec.field(name="LinkLocalIPv6Address", default="")
    link_local_ipv6_prefix_len: int = msgspec.field(name="LinkLocalIPv6PrefixLen", default=0)
    secondary_ip_addresses: list[Any] | None = msgspec.field(name="SecondaryIPAddresses", default=None)
    secondary_ipv6_addresses: list[Any] | None = msgspec.field(name="SecondaryIPv6Addresses", default=None)
    endpoint_id: str = msgspec.field(name="EndpointID")
    gateway: str
    global_ipv6_address: str = msgspec.field(name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = msgspec.field(name="GlobalIPv6PrefixLen")
    ip_address: str = msgspec.field(name="IPAddress")
    ip_prefix_len: int = msgspec.field(name="IPPrefixLen")
    ipv6_gateway: str = msgspec.field(name="IPv6Gateway")
    mac_address: str
    networks: dict[str, EndpointSettings]


class ContainerDocument(Body, kw_only=True):
    """An inspected container. size_rw, size_root_fs: bytes, only if requested."""

    id: str
    created: str
    path: str
    args: list[str]
    state: StateDocument
    image: str
    resolv_conf_path: str
    hostname_path: str
    hosts_path: str
    log_path: str
    name: str
    restart_count: int
    driver: str = "overlay2"
    platform: str
    mount_label: str = ""
    process_label: str = ""
    app_armor_profile: str
    exec_ids: list[str] | None = msgspec.field(name="ExecIDs")
    host_config: HostConfig
    graph_driver: GraphDriver
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET
    mounts: list[Mount]
    config: Config
    network_settings: NetworkSettings


def inspect(
    service: Service, record: ContainerRecord, sizes: tuple[int, int] | None = None
) -> ContainerDocument:
    """Make the document. sizes: from sizing()."""
    directory = service.containers.directory(record.id)
    logs = record.host_config.log_config.type != "none"
    return ContainerDocument(
        id=record.id,
        created=record.created,
        path=record.path,
        args=list(record.args),
        state=state_document(record.state),
        image=record.image_id,
        resolv_conf_path=str(directory / "resolv.conf"),
        hostname_path=str(directory / "hostname"),
        hosts_path=str(directory / "hosts"),
        log_path=str(directory / "log.json") if logs else "",
        name=f"/{record.name}",
        restart_count=record.state.restart_count,
        platform=platform.system().lower(),
        app_armor_profile=apparmor_of(record.host_config, is_on=host_facts().apparmor),
        exec_ids=service.execs.of(record.id) or None,
        # Both omit some fields if they are None, which a struct cannot do field by field.
        host_config=cast(HostConfig, _host(service, record)),
        graph_driver=_graph_driver(service, record),
        size_rw=sizes[0] if sizes else UNSET,
        size_root_fs=sizes[1] if sizes else UNSET,
        mounts=[mount(point) for point in record.mounts],
        config=cast(Config, config_document(_with_mac(record))),
        network_settings=network_settings(record),
    )


def _with_mac(record: ContainerRecord) -> Config:
    """Return a container's Config, with the MAC address of its first network for old clients."""
    mode = record.host_config.network_mode
    settings = record.networks.get("bridge" if mode == "default" else mode)
    if record.config.mac_address or settings is None:
        return record.config
    return msgspec.structs.replace(record.config, mac_address=at_rest(settings).mac_address or None)


def state_document(state: State) -> StateDocument:
    """Make the document of a state. As in Docker, a paused or restarting container is also `running`."""
    return StateDocument(
        status=state.status,
        running=state.running or state.status == "restarting",
        paused=state.status == "paused",
        restarting=state.status == "restarting",
        oom_killed=state.oom_killed,
        dead=state.status == "dead",
        pid=state.pid if state.running else 0,
        exit_code=0 if state.running else state.exit_code,
        error=state.error,
        started_at=state.started_at or NEVER,
        finished_at=state.finished_at or NEVER,
        health=msgspec.convert(state.health, HealthDocument, from_attributes=True) if state.health else UNSET,
    )


def network_settings(record: ContainerRecord) -> NetworkSettings:
    """Make the document of a container's networks."""
    networks = shown(record)
    old = networks.get("bridge") or EndpointSettings()
    sandbox = f"/proc/{record.state.pid}/ns/net" if record.state.running and record.state.pid else ""
    return NetworkSettings(
        sandbox_id=record.id if sandbox else "",
        sandbox_key=sandbox,
        ports=port_map(record),
        endpoint_id=old.endpoint_id,
        gateway=old.gateway,
        global_ipv6_address=old.global_ipv6_address,
        global_ipv6_prefix_len=old.global_ipv6_prefix_len,
        ip_address=old.ip_address,
        ip_prefix_len=old.ip_prefix_len,
        ipv6_gateway=old.ipv6_gateway,
        mac_address=old.mac_address,
        networks=networks,
    )


def _graph_driver(service: Service, record: ContainerRecord) -> GraphDriver:
    layer = service.containers.directory(record.id) / "layer"
    try:
        lower = [str(path) for path in reversed(service.containers.layers(record.id))]
    except Exception:  # a damaged image must not prevent inspecting its containers
        lower = []
    data = {"LowerDir": ":".join(lower), "UpperDir": str(layer / "u"), "WorkDir": str(layer / "w")}
    if record.state.running and record.state.pid:
        data["MergedDir"] = f"/proc/{record.state.pid}/root"
    return GraphDriver(data=data, name="overlay2")


def _host(service: Service, record: ContainerRecord) -> dict[str, Any]:
    """Show the HostConfig with the current names of linked containers and the daemon's default ulimits."""
    host = service.settings.with_ulimits(record.host_config)
    document = msgspec.to_builtins(host) | {"Links": service.containers.links_of(record)}
    return {name: one for name, one in document.items() if one is not None or name not in _LEFT_OUT_OF_HOST}
