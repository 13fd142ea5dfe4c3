"""The supported part of the OCI runtime-spec, as frozen structs with the spec's JSON names.

Lists are tuples, and objects with free keys are tuples of pairs, so that a spec can be hashed, since plans
are cached by it.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all parts: immutable, camelCase in JSON."""


class User(_Part, frozen=True, kw_only=True):
    """The program's user, as numbers."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Capabilities(_Part, frozen=True, kw_only=True):
    """The five sets by name (`CAP_CHOWN`)."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(_Part, frozen=True, kw_only=True):
    """One resource limit: `type` is RLIMIT_NOFILE and the like."""

    type: str
    soft: int
    hard: int


class Process(_Part, frozen=True, kw_only=True):
    """The program and what it may do."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    user: User = User()
    capabilities: Capabilities | None = None
    """None: capabilities are not changed (to measure without them; not a default)."""
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    oom_score_adj: int | None = None


class Root(_Part, frozen=True, kw_only=True):
    """The root directory; `path` is empty when an overlay is made for it."""

    path: str = ""
    readonly: bool = False


class Mount(_Part, frozen=True, kw_only=True):
    """A mount in the container: a file system, or a host path with the option bind or rbind."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


NamespaceType = Literal["user", "pid", "mount", "uts", "ipc", "network", "cgroup", "time"]


class Namespace(_Part, frozen=True, kw_only=True):
    """A new namespace, or with `path` one to join."""

    type: NamespaceType
    path: str = ""


class IdMapping(_Part, frozen=True, kw_only=True):
    """One line of uid_map or gid_map; JSON spells the ids containerID and hostID."""

    container_id: int = msgspec.field(name="containerID")
    host_id: int = msgspec.field(name="hostID")
    size: int


class Device(_Part, frozen=True, kw_only=True):
    """A device node: type c, b or p (u is c)."""

    path: str
    type: Literal["c", "b", "u", "p"]
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


class TimeOffset(_Part, frozen=True, kw_only=True):
    """A clock's offset to the host's."""

    secs: int = 0
    nanosecs: int = 0


class SeccompArg(_Part, frozen=True, kw_only=True):
    """A condition on one argument of a system call; `value_two` only with SCMP_CMP_MASKED_EQ."""

    index: int
    value: int
    value_two: int = 0
    op: str


class SeccompSyscall(_Part, frozen=True, kw_only=True):
    """The action for some system calls, if all of `args` match."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SeccompArg, ...] = ()


class Seccomp(_Part, frozen=True, kw_only=True):
    """A seccomp profile of the OCI spec."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    syscalls: tuple[SeccompSyscall, ...] = ()


class Linux(_Part, frozen=True, kw_only=True):
    """The Linux-specific part."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: tuple[tuple[str, TimeOffset], ...] = ()
    """(clock, offset), clock `monotonic` or `boottime`."""
    devices: tuple[Device, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()
    """(name, value)."""
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = None


class Spec(_Part, frozen=True, kw_only=True):
    """A container's `config.json`."""

    oci_version: str = "1.2.0"
    process: Process = Process()
    root: Root = Root()
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    linux: Linux = Linux()
