"""Turn a ContainerConfig into the shape of its tape: all decisions that can be made before a start."""

from __future__ import annotations

import functools
import os
import re
import stat

import msgspec

from runtime.engine.config import ContainerConfig
from runtime.engine.errors import EngineError
from runtime.engine.privileges import granted
from runtime.engine.propagation import require_propagation
from runtime.engine.users import resolve_user
from runtime.network.model import BRIDGED
from runtime.oci import defaults
from runtime.oci.exec_plan import ExecShape
from runtime.oci.options import MountOptions, parse_options
from runtime.oci.plan import Plan, Shape, make_plan, namespaces_of
from runtime.oci.program import ProgramShape
from runtime.oci.seccomp import compile_seccomp
from runtime.oci.spec import Capabilities, Linux, Mount, NamespaceType, Process, Root, Seccomp, Spec, User
from runtime.spawn import capabilities, process, seccomp
from runtime.spawn.cgroups import Limits
from runtime.spawn.errnos import errno_text
from runtime.spawn.idmaps import IdMaps, IdRange

_NO_LIMITS = Limits()
_ID = re.compile("[0-9a-f]{64}")


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What start() needs: the plan, and the values that do not change between starts.

    binds: (host path, options) of each bind mount, in the order of the slots `mount0`…
    """

    config: ContainerConfig
    spec: Spec
    shape: Shape
    maps: IdMaps | None
    layers: tuple[str, ...]
    env: tuple[str, ...]
    paths: tuple[str, ...]
    binds: tuple[tuple[str, MountOptions], ...]


def prepare(
    config: ContainerConfig,
    layers: tuple[str, ...],
    joins: int,
    joined: tuple[NamespaceType, ...],
    cgroups: tuple[str, ...] = (),
) -> Prepared:
    """Plan a container. `layers` lowest first; `joins` v1 hierarchies; `joined` namespaces got elsewhere.

    cgroups: names of what a cgroup_view shows, see Shape.

    Raises EngineError for a config that is not possible.
    """
    if not config.argv:
        raise EngineError("create container: no argv given; name the program to run")
    _check_network(config)
    if config.network == "host":
        kept = tuple(name for name in config.namespaces if name != "network")
        config = msgspec.structs.replace(config, namespaces=kept)
    config = granted(config)
    env = config.env if config.env is not None else (defaults.PATH,)
    paths = () if config.init else process.search_path(config.argv[0], env)
    spec = _spec(_blank(config), _user(config, layers))
    binds = _binds(config)
    shape = Shape(
        spec=spec,
        joins=joins,
        joined=joined,
        anchored="user" not in config.namespaces,
        directories=tuple(_is_directory(source, options.part) for source, options in binds),
        cgroups=cgroups if config.cgroup_view and "mount" in config.namespaces else (),
        program=ProgramShape(
            nulls=(0, 1, 2) if not config.tty else (),
            attempts=len(paths),
            init=config.init,
            ignored_signals=_ignored(),
            filter=_filter(config.seccomp, config.caps, config.spec_allow),
        ),
    )
    maps = _maps(config)
    make_plan(shape)  # what cannot be planned is refused now, not at the start
    return Prepared(
        config=config, spec=spec, shape=shape, maps=maps, layers=layers, env=env, paths=paths, binds=binds
    )


def _check_network(config: ContainerConfig) -> None:
    if not (config.network in ("none", "host", *BRIDGED) or _ID.fullmatch(config.network)):
        raise EngineError(
            f"network {config.network}: name none, host, bridge, nat or the id of a network that is up"
        )
    if config.ports and config.network not in BRIDGED:
        raise EngineError(f"network mode {config.network} publishes no ports; use bridge or nat")


def plan_start(prepared: Prepared, nulls: tuple[int, ...]) -> Plan:
    """Return the plan of a start whose descriptors `nulls` are /dev/null."""
    program = msgspec.structs.replace(prepared.shape.program, nulls=nulls)
    return make_plan(msgspec.structs.replace(prepared.shape, program=program))


def prepare_exec(
    prepared: Prepared, run: Process, attempts: int, joins: int, nulls: tuple[int, ...]
) -> ExecShape:
    """Return the shape of a program that joins the container `prepared`, with the container's filter."""
    config = prepared.config
    return ExecShape(
        run=run,
        namespaces=config.namespaces,
        joins=joins,
        program=ProgramShape(
            nulls=nulls,
            attempts=attempts,
            ignored_signals=_ignored(),
            filter=_filter(config.seccomp, config.caps, config.spec_allow),
            makes_directory=False,
        ),
    )


def exec_process(
    prepared: Prepared, *, cwd: str | None, user: str | None, tty: bool, caps: tuple[str, ...] | None
) -> Process:
    """Return the process part of an exec: what is not given is the container's."""
    config, run = prepared.config, prepared.spec.process
    changes: dict[str, object] = {"terminal": tty, "cwd": cwd or run.cwd, "oom_score_adj": None}
    if user is not None:
        changes["user"] = resolve_user(user, searched(config, prepared.layers), (), config.umask)
    if caps is not None:
        changes["capabilities"] = _capabilities(caps, ())
    return msgspec.structs.replace(run, **changes)


def _blank(config: ContainerConfig) -> ContainerConfig:
    """Return the config without fields that do not change the spec: configs equal then share one."""
    mounts = tuple(
        msgspec.structs.replace(mount, source="") if {"bind", "rbind"} & set(mount.options) else mount
        for mount in config.mounts
    )
    return msgspec.structs.replace(
        config,
        argv=(),
        env=None,
        hostname="",
        layers=(),
        rootfs="",
        image="",
        network="none",
        ports=(),
        home="",
        limits=_NO_LIMITS,
        cgroup_parent="",
        mounts=mounts,
        user=None,
        groups=(),
        umask=None,
    )


@functools.lru_cache(maxsize=256)
def _spec(blank: ContainerConfig, user: User) -> Spec:
    return Spec(
        process=Process(
            cwd=blank.cwd or "/",
            terminal=blank.tty,
            user=user,
            capabilities=None if blank.caps is None else _capabilities(blank.caps, blank.ambient_caps),
            rlimits=blank.rlimits,
            no_new_privileges=blank.no_new_privs,
            apparmor_profile=blank.apparmor,
            oom_score_adj=blank.oom_score_adj,
        ),
        root=Root(readonly=blank.read_only),
        mounts=_mounts(blank),
        linux=Linux(
            namespaces=namespaces_of(blank.namespaces),
            uid_mappings=blank.uid_map,
            gid_mappings=blank.gid_map,
            time_offsets=blank.time_offsets,
            devices=blank.devices,
            masked_paths=blank.masked_paths,
            readonly_paths=blank.readonly_paths,
            sysctl=blank.sysctl,
        ),
    )


def _mounts(blank: ContainerConfig) -> tuple[Mount, ...]:
    """Return all mounts; requested ones on /dev/shm or /dev/mqueue replace the container's own."""
    replaced = {mount.destination for mount in blank.mounts} & {"/dev/shm", "/dev/mqueue"}
    if blank.shm_bytes == 0:
        replaced.add("/dev/shm")
    own = defaults.mounts(blank.shm_bytes, sys_writable=blank.privileged)
    return tuple(mount for mount in own if mount.destination not in replaced) + blank.mounts


def _user(config: ContainerConfig, layers: tuple[str, ...]) -> User:
    places = searched(config, layers)
    resolve = _resolve if places == layers else resolve_user  # layers do not change, the others may
    return resolve(config.user or "0", places, config.groups, config.umask)


_resolve = functools.lru_cache(maxsize=64)(resolve_user)


def searched(config: ContainerConfig, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Return where users and groups are looked up, last first: the layers, and a persistent writable one."""
    if config.rootfs:
        return (config.rootfs,)
    written = config.home and os.path.isdir(f"{config.home}/u/etc")  # noqa: PTH112 - on the start path
    return (*layers, f"{config.home}/u") if written else layers


def _capabilities(names: tuple[str, ...], ambient: tuple[str, ...]) -> Capabilities:
    return Capabilities(
        bounding=names, effective=names, permitted=names, inheritable=ambient, ambient=ambient
    )


def _maps(config: ContainerConfig) -> IdMaps | None:
    """The id maps of a container with a user namespace."""
    if "user" not in config.namespaces:
        return None
    uids, gids = (
        tuple(IdRange(m.container_id, m.host_id, m.size) for m in mappings)
        for mappings in (config.uid_map, config.gid_map)
    )
    maps = IdMaps(uids, gids)
    try:
        maps.outside(0, 0)
    except KeyError:
        raise EngineError(
            "user namespace: uid_map and gid_map must each map 0, the container's root"
        ) from None
    if config.network not in ("none", "host"):
        raise EngineError(f"user namespace: network mode {config.network} is not possible; use none or host")
    return maps


def _binds(config: ContainerConfig) -> tuple[tuple[str, MountOptions], ...]:
    sorted_options = [(mount.source, parse_options(mount.options)) for mount in config.mounts]
    binds = tuple((source, options) for source, options in sorted_options if options.bind)
    for source, options in binds:
        require_propagation(source, options.propagation)
    return binds


def _is_directory(source: str, part: str) -> bool:
    source = f"{source}/{part}" if part else source
    try:
        return stat.S_ISDIR(os.stat(source).st_mode)  # noqa: PTH116 - on the start path
    except OSError as error:
        raise EngineError(
            f"mount source {source}: {errno_text(error)}; make it before the container"
        ) from error


@functools.cache
def _ignored() -> tuple[int, ...]:
    return process.ignored_signals()


@functools.lru_cache(maxsize=64)
def _filter(profile: str | Seccomp, caps: tuple[str, ...] | None, spec_allow: bool) -> seccomp.Filter | None:
    if isinstance(profile, Seccomp):
        return compile_seccomp(profile, spec_allow=spec_allow)
    if profile == "unconfined":
        return None
    bits = capabilities.all_capabilities() if caps is None else capabilities.mask(caps)
    return seccomp.default_filter(bits, spec_allow=spec_allow)
