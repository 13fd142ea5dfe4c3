"""From a ContainerConfig to the shape of its tape: everything that can be decided before a start."""

from __future__ import annotations

import functools
import stat
from pathlib import Path

import msgspec

from runtime.engine.config import ContainerConfig
from runtime.engine.errors import EngineError
from runtime.oci import defaults
from runtime.oci.options import parse_options
from runtime.oci.plan import Plan, Shape, make_plan, namespaces_of
from runtime.oci.seccomp import compile_seccomp
from runtime.oci.spec import Capabilities, Linux, Process, Root, Seccomp, Spec, User
from runtime.spawn import capabilities, process, seccomp


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What start() needs: the plan, and the values that do not change between starts."""

    config: ContainerConfig
    shape: Shape
    plan: Plan
    layers: tuple[str, ...]
    argv: tuple[str, ...]
    env: tuple[str, ...]
    paths: tuple[str, ...]


def prepare(
    config: ContainerConfig, layers: tuple[str, ...], joins: int, joined: tuple[str, ...]
) -> Prepared:
    """Plan a container. `layers` lowest first; `joins` v1 hierarchies; `joined` namespaces got elsewhere.

    Raises EngineError for a config that cannot be carried out.
    """
    if not config.argv:
        raise EngineError("create container: no argv given; name the program to run")
    env = config.env if config.env is not None else (defaults.PATH,)
    paths = process.search_path(config.argv[0], env)
    shape = Shape(
        spec=make_spec(config),
        lowers=len(layers),
        joins=joins,
        joined=joined,
        attempts=len(paths),
        init=config.init,
        directories=tuple(_is_directory(m.source) for m in config.mounts if parse_options(m.options).bind),
        ignored_signals=_ignored(),
        filter=_filter(config),
    )
    return Prepared(
        config=config,
        shape=shape,
        plan=make_plan(shape),
        layers=layers,
        argv=config.argv,
        env=env,
        paths=paths,
    )


@functools.lru_cache(maxsize=256)
def _spec(blank: ContainerConfig) -> Spec:
    caps = None
    if blank.caps is not None:
        names, ambient = blank.caps, blank.ambient_caps
        caps = Capabilities(
            bounding=names, effective=names, permitted=names, inheritable=ambient, ambient=ambient
        )
    return Spec(
        process=Process(
            cwd=blank.cwd or "/",
            terminal=blank.tty,
            user=_user(blank),
            capabilities=caps,
            rlimits=blank.rlimits,
            no_new_privileges=blank.no_new_privs,
            oom_score_adj=blank.oom_score_adj,
        ),
        root=Root(readonly=blank.read_only),
        mounts=defaults.MOUNTS + blank.mounts,
        linux=Linux(
            namespaces=namespaces_of(blank.namespaces),
            uid_mappings=blank.uid_map,
            gid_mappings=blank.gid_map,
            devices=blank.devices,
            masked_paths=blank.masked_paths,
            readonly_paths=blank.readonly_paths,
        ),
    )


def make_spec(config: ContainerConfig) -> Spec:
    """Return the part of the OCI spec that decides the tape of `config`."""
    return _spec(
        msgspec.structs.replace(config, argv=(), env=None, hostname="", layers=(), image="", ports=())
    )


def _user(config: ContainerConfig) -> User:
    uid, _, gid = (config.user or "0").partition(":")
    return User(uid=int(uid), gid=int(gid or 0), umask=config.umask, additional_gids=config.groups)


def _is_directory(source: str) -> bool:
    try:
        return stat.S_ISDIR(Path(source).stat().st_mode)
    except OSError as error:
        raise EngineError(f"mount source {source}: {error.strerror}; make it before the container") from error


@functools.cache
def _ignored() -> tuple[int, ...]:
    return process.ignored_signals()


def _filter(config: ContainerConfig) -> seccomp.Filter | None:
    if config.seccomp == "unconfined":
        return None
    bits = capabilities.all_capabilities() if config.caps is None else capabilities.mask(config.caps)
    if isinstance(config.seccomp, Seccomp):
        return compile_seccomp(config.seccomp, spec_allow=config.spec_allow)
    return seccomp.default_filter(bits, spec_allow=config.spec_allow)
