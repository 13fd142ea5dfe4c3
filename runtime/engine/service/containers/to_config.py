"""Convert a container's record to the spawner's Start request. Nothing is made or checked here."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from runtime.docker_syntax.mounts import tmpfs_options
from runtime.engine.config import ContainerConfig, bind
from runtime.engine.errors import BadParameterError, NotFoundError, refusing
from runtime.engine.propagation import can_be_slave
from runtime.engine.service.host.facts import HostFacts
from runtime.engine.service.model.record import ContainerRecord, MountPoint
from runtime.engine.service.model.request import console_size
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.device_nodes import devices_of, rules_of
from runtime.engine.service.rules.limits import limits_of
from runtime.engine.service.rules.mounting import subpath_of
from runtime.engine.service.rules.security import apparmor_of, capabilities_of, parse_security, seccomp_of
from runtime.engine.spawner.protocol import Endpoint, Start
from runtime.engine.users import find_home_once, resolve_user
from runtime.network.model import Port
from runtime.oci import defaults
from runtime.oci.options import PART, SHALLOW
from runtime.oci.spec import Mount, NamespaceType, Rlimit

FILES = ("hosts", "resolv.conf", "hostname")
"""In a container's directory, and bound over its /etc."""

_SHM = "/dev/shm"
_NETWORK_SYSCTLS = (
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
)
"""As in Docker, every user may ping, and listen on ports below 1024, in a container's own network."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a start depends on: directories and other containers.

    home: keeps the writable layer. files: directory of FILES (a partner's for a shared network). joined:
    namespace → id of the running container that it belongs to. volumes: name → directory on the host.
    variables: those of linked containers.
    """

    layers: tuple[Path, ...]
    home: Path
    files: Path
    joined: dict[str, str] = {}
    volumes: dict[str, Path] = {}
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Port, ...] = ()
    variables: dict[str, str] = {}


def start_of(
    record: ContainerRecord, around: Surroundings, facts: HostFacts, coming: Collection[str] = ()
) -> Start:
    """Return the request that starts `record`. coming: the ids that the next containers will have.

    Raises BadParameterError for a device or volume path.
    """
    config, host = record.config, record.host_config
    rows, columns = console_size(host.console_size)
    return Start(
        id=record.id,
        config=_container(record, around, facts),
        stdin=config.open_stdin,
        joined=around.joined,
        endpoints=around.endpoints,
        ports=around.ports,
        rows=rows,
        columns=columns,
        coming=tuple(coming),
    )


def _container(record: ContainerRecord, around: Surroundings, facts: HostFacts) -> ContainerConfig:
    config, host = record.config, record.host_config
    security = parse_security(host.security_opt)
    devices, rules = devices_of(host.devices)
    limits = limits_of(host, facts)
    profile = apparmor_of(host, is_on=facts.apparmor)
    searched = (*map(str, around.layers), f"{around.home}/u")
    made = ContainerConfig(
        layers=tuple(map(str, around.layers)),
        argv=(record.path, *record.args),
        env=environment(record, searched, around.variables),
        cwd=config.working_dir or None,
        user=config.user or None,
        groups=tuple(_group(name, searched) for name in host.group_add or ()),
        hostname=hostname_of(record),
        network=_network(record, around),
        mounts=(*_shared_memory(record), *_mounts(record, around), *_files(record, around)),
        devices=devices,
        limits=msgspec.structs.replace(limits, devices=(*rules, *rules_of(host.device_cgroup_rules))),
        no_new_privs=security.no_new_privs,
        apparmor="" if profile == "unconfined" else profile,
        rlimits=_rlimits(record),
        oom_score_adj=host.oom_score_adj if host.oom_score_adj or facts.oom_score_adj else None,
        sysctl=_sysctls(record),
        read_only=host.readonly_rootfs,
        init=bool(host.init),
        tty=config.tty,
        namespaces=_namespaces(record),
        shm_bytes=0 if host.ipc_mode == "none" else host.shm_size or None,
        privileged=host.privileged,
        cgroup_parent=host.cgroup_parent,
        cgroup_view=True,
        home=str(around.home),
    )
    made = msgspec.structs.replace(made, **_masks(record))
    return made if host.privileged else _confined(made, record)


def _masks(record: ContainerRecord) -> dict[str, tuple[str, ...]]:
    """Return what is masked or read-only below /proc and /sys, where it differs from the defaults."""
    host = record.host_config
    masks = {}
    for name in ("masked_paths", "readonly_paths"):
        asked = getattr(host, name)
        if not host.privileged and asked == list(defaults.MASKED_BY_DOCKER):
            continue  # no less was asked for than is masked by default
        if asked is not None:
            masks[name] = tuple(asked)
        elif not parse_security(host.security_opt).systempaths:
            masks[name] = ()
    return masks


def _confined(made: ContainerConfig, record: ContainerRecord) -> ContainerConfig:
    """Add the capabilities and the seccomp filter of an unprivileged container."""
    host = record.host_config
    security = parse_security(host.security_opt)
    caps = capabilities_of(host)
    changes: dict[str, object] = {"caps": caps, "seccomp": seccomp_of(security.seccomp, caps)}
    return msgspec.structs.replace(made, **changes)


def _network(record: ContainerRecord, around: Surroundings) -> str:
    """Return the pool of its network namespace: that of its first network."""
    if around.endpoints:
        return around.endpoints[0].network
    return "host" if namespace_modes.sharing(record.host_config, "network").host else "none"


# ---- the program ----------------------------------------------------------------------------------------


def environment(
    record: ContainerRecord, layers: Sequence[str], more: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the program's variables: docker's own, `more`, the config's; the last of a name counts."""
    config = record.config
    variables = {"PATH": defaults.PATH.partition("=")[2], "HOSTNAME": hostname_of(record)}
    if config.tty:
        variables["TERM"] = "xterm"
    variables |= more or {}
    for text in config.env or ():
        name, sign, value = text.partition("=")
        if sign:
            variables[name] = value
        else:
            variables.pop(name, None)
    if not variables.get("HOME"):
        variables["HOME"] = find_home_once(config.user, tuple(layers))
    return tuple(f"{name}={value}" for name, value in variables.items())


def hostname_of(record: ContainerRecord) -> str:
    """Return a container's host name: as asked, the host's own where that is shared, else its short id."""
    host = record.host_config
    if record.config.hostname:
        return record.config.hostname
    shares = namespace_modes.sharing(host, "uts").host or namespace_modes.sharing(host, "network").host
    return platform.node() if shares else record.id[:12]


def _group(name: str, layers: Sequence[str]) -> int:
    return resolve_user(f"0:{name}", tuple(layers), (), None).gid


def _rlimits(record: ContainerRecord) -> tuple[Rlimit, ...]:
    asked = record.host_config.ulimits or ()
    return tuple(
        Rlimit(type=f"RLIMIT_{limit.name.upper()}", soft=limit.soft, hard=limit.hard) for limit in asked
    )


def _sysctls(record: ContainerRecord) -> tuple[tuple[str, str], ...]:
    host = record.host_config
    sysctls = dict(_NETWORK_SYSCTLS) if namespace_modes.has_own_network(record) else {}
    if record.config.domainname and namespace_modes.sharing(host, "uts").own:
        sysctls["kernel.domainname"] = record.config.domainname
    return tuple((sysctls | (host.sysctls or {})).items())


def _namespaces(record: ContainerRecord) -> tuple[NamespaceType, ...]:
    """Return the namespaces that are not shared with the host, including those that it joins."""
    host = record.host_config
    shared: set[str] = {kind for kind in namespace_modes.KINDS if namespace_modes.sharing(host, kind).host}
    if host.cgroupns_mode == "host":
        shared.add("cgroup")
    return tuple(name for name in defaults.NAMESPACES if name not in shared)


# ---- mounts ---------------------------------------------------------------------------------------------


def _shared_memory(record: ContainerRecord) -> tuple[Mount, ...]:
    """Return the mount of the host's /dev/shm, for the host's IPC namespace, unless another is there."""
    host = record.host_config
    taken = {point.destination for point in record.mounts} | (host.tmpfs or {}).keys()
    if not namespace_modes.sharing(host, "ipc").host or _SHM in taken:
        return ()
    return (bind(_SHM, _SHM),)


def _mounts(record: ContainerRecord, around: Surroundings) -> list[Mount]:
    made = [_mount(point, around.volumes) for point in record.mounts]
    for target, text in (record.host_config.tmpfs or {}).items():
        with refusing():
            options = tmpfs_options(text)
        made.append(Mount(destination=target, type="tmpfs", source="tmpfs", options=options))
    return sorted(made, key=lambda mount: mount.destination.count("/"))


def _mount(point: MountPoint, volumes: Mapping[str, Path]) -> Mount:
    mode = "ro" if point.read_only else "rw"
    if point.type == "tmpfs":
        options = (*point.options, "ro") if point.read_only else point.options
        return Mount(destination=point.destination, type="tmpfs", source="tmpfs", options=options)
    if point.type == "volume":
        source = str(volumes[point.name])
        options = ("rbind", mode, *_part(source, point))
        return Mount(destination=point.destination, type="bind", source=source, options=options)
    kind = "bind" if point.non_recursive else "rbind"
    options = (kind, mode, _propagation(point), *((SHALLOW,) if point.read_only_non_recursive else ()))
    return Mount(destination=point.destination, type="bind", source=point.source, options=options)


def _propagation(point: MountPoint) -> str:
    """Leave out an implied propagation where the host's mount does not allow it."""
    if point.propagation_implied and point.propagation == "rslave" and not can_be_slave(point.source):
        return "rprivate"
    return point.propagation or "rprivate"


def _part(source: str, point: MountPoint) -> tuple[str, ...]:
    """Return the option that limits a mount to a part of its volume, which has to exist."""
    part = subpath_of(point)
    if not part:
        return ()
    base, path = (Path(os.path.realpath(end)) for end in (source, f"{source}/{part}"))  # a loop is fine
    if not path.is_relative_to(base):
        raise BadParameterError(
            f"path concatenation escapes the base directory, base: {base}, subpath: {part}"
        )
    if not path.exists():
        raise NotFoundError(f"cannot access path {base / part}: no such file or directory")
    return (PART + part,)


def _files(record: ContainerRecord, around: Surroundings) -> list[Mount]:
    """Return the mounts of docker's files in /etc that are not mounted over; none over a read-only /etc."""
    taken = {point.destination for point in record.mounts if point.read_only or point.destination != "/etc"}
    mode = "ro" if record.host_config.readonly_rootfs else "rw"
    mounts = []
    for name in FILES:
        target = f"/etc/{name}"
        if target not in taken and "/etc" not in taken:
            source = os.path.join(around.files, name)  # noqa: PTH118 - on the start path
            options = ("rbind", mode, "rprivate")
            mounts.append(Mount(destination=target, type="bind", source=source, options=options))
    return mounts
