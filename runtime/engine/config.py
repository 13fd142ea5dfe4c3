"""The config of a container. Defaults are Docker's; each isolation mechanism can be switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from runtime.network.model import Port
from runtime.oci import defaults
from runtime.oci.spec import Device, IdMapping, Mount, NamespaceType, Rlimit, Seccomp, TimeOffset
from runtime.spawn import capabilities
from runtime.spawn.cgroups import Limits


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A container before it exists.

    image: reference in the engine's image store; or layers: directories, lowest first, in overlay form; or
    rootfs: one directory, used as it is, without an overlay (then writes go to it).
    argv, env (`NAME=value`), cwd, user (`uid`, `uid:gid` or names from the image), groups: None is taken from
    the image's config where there is one; its entrypoint comes before argv.
    entrypoint: in place of the image's; the image's command is then left out too, as Docker does.
    network: none, host, bridge (routed), nat (masqueraded), or the id of a named network, to which the caller
    connects it between attach() and start(). ports: published, for bridge and nat.
    mounts: see bind() and tmpfs(). read_only: the root, not the mounts.
    caps: names; None leaves all capabilities (an ablation). ambient_caps: a part of caps that a program of a
    user other than root keeps.
    seccomp: "default" is equal in effect to Docker's; "unconfined" loads none. spec_allow: loading it leaves
    the speculative-store-bypass mitigation as it was (SECCOMP_FILTER_FLAG_SPEC_ALLOW, as runc does).
    apparmor: the profile to run in, which is loaded; "" for that of the engine.
    namespaces: those to make; leave one out to share the host's. Without "mount" the root is a plain chroot
    with no /proc, /sys or /dev. uid_map, gid_map: with "user".
    cgroup: False leaves the program in the engine's own cgroup (then no limits, no stats). cgroup_parent: the
    path of a cgroup, made if missing, for its own to lie in: for limits that several share.
    init: run a small init as pid 1 that reaps and forwards signals. tty: a pseudo-terminal as stdio.
    home: a directory that keeps the writable layer (`u`, and overlay's `w`) beyond remove(), on the engine's
    file system; made by the first start, used again by the next. "": a new layer for each, gone with it.
    shm_bytes: size of /dev/shm, None for Docker's 64 MB, 0 for none at all.
    privileged: the host's devices, all of them allowed, and /sys writable; what is left at its default of
    caps, seccomp, masked_paths and readonly_paths is then all, unconfined and none.
    devices: nodes to make, by default with all access; limits.devices says otherwise, and adds rules.
    cgroup_view: the container's own cgroup on /sys/fs/cgroup, read-only unless privileged.
    """

    image: str = ""
    layers: tuple[str, ...] = ()
    rootfs: str = ""
    argv: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    cwd: str | None = None
    user: str | None = None
    groups: tuple[int | str, ...] = ()
    umask: int | None = None
    hostname: str = ""
    network: str = "none"
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    limits: Limits = Limits()
    caps: tuple[str, ...] | None = capabilities.DEFAULT
    ambient_caps: tuple[str, ...] = ()
    seccomp: Literal["default", "unconfined"] | Seccomp = "default"
    spec_allow: bool = True
    no_new_privs: bool = False
    apparmor: str = ""
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int | None = None
    sysctl: tuple[tuple[str, str], ...] = ()
    read_only: bool = False
    init: bool = False
    tty: bool = False
    namespaces: tuple[NamespaceType, ...] = defaults.NAMESPACES
    uid_map: tuple[IdMapping, ...] = ()
    gid_map: tuple[IdMapping, ...] = ()
    time_offsets: tuple[tuple[str, TimeOffset], ...] = ()
    cgroup: bool = True
    cgroup_parent: str = ""
    masked_paths: tuple[str, ...] = defaults.MASKED
    readonly_paths: tuple[str, ...] = defaults.READONLY
    home: str = ""
    shm_bytes: int | None = None
    privileged: bool = False
    cgroup_view: bool = False


def bind(source: str | Path, target: str, *, read_only: bool = False, options: tuple[str, ...] = ()) -> Mount:
    """Return a mount of the host path `source` (a file, or a directory with the mounts below) on `target`."""
    mode = "ro" if read_only else "rw"
    return Mount(destination=target, type="bind", source=str(source), options=("rbind", mode, *options))


def tmpfs(target: str, *, size_bytes: int | None = None, mode: int = 0o1777) -> Mount:
    """Return a tmpfs of at most `size_bytes` on `target`."""
    size = (f"size={size_bytes}",) if size_bytes is not None else ()
    options = ("nosuid", "nodev", "noexec", f"mode={mode:o}", *size)
    return Mount(destination=target, type="tmpfs", source="tmpfs", options=options)
