"""From a container's shape to the tape that starts it. Plans are cached: equal shapes share a tape.

A shape is everything that decides *which* system calls are made. What differs between containers (paths,
descriptors, arguments, host name) is a slot, filled in at the start. The functions in runtime.spawn that add
the steps name the slots.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec

from runtime.docker_syntax import sysctls
from runtime.oci.options import parse_options
from runtime.oci.program import ProgramShape, add_program
from runtime.oci.spec import Mount, Namespace, Spec
from runtime.spawn import apparmor, devices, mounts, namespaces, process, terminal
from runtime.spawn.linux import MS_PRIVATE, MS_SLAVE
from runtime.spawn.tape import Result, Slot, Tape

_LXCFS = frozenset(
    {"cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime"}
)


class PlanError(ValueError):
    """A spec that cannot be carried out; the message says which part and why."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the steps. `spec` has no args, env and host name, which are slots.

    The root is a detached mount in slot `root`. joins: number of v1 hierarchies to join (slots `cgroup0`…).
    joined: namespaces joined by descriptor (slots `ns_<name>`). The parent's thread enters a joined pid
    namespace before the clone; a joined ipc namespace, whose slot is a pidfd, brings its owner's /dev/shm.
    anchored: the mount namespace is a copy of the anchor's. directories: for each bind mount, in order,
    whether its source is a directory (slots `mount0`…). cgroups: names below /sys/fs/cgroup of the mounts in
    slots `cgroupfs0`…; a single "" is the mount itself.
    """

    spec: Spec
    joins: int = 0
    joined: tuple[str, ...] = ()
    anchored: bool = True
    directories: tuple[bool, ...] = ()
    cgroups: tuple[str, ...] = ()
    program: ProgramShape = ProgramShape()


class Plan(msgspec.Struct, frozen=True):
    """A tape, and the clone3 flags for it."""

    tape: Tape
    flags: int


@functools.lru_cache(maxsize=256)
def make_plan(shape: Shape) -> Plan:
    """Return the plan of `shape`. Raises PlanError, or what the parts raise for unknown names."""
    wanted = shape.spec.linux.namespaces
    made = tuple(ns.type for ns in wanted if not ns.path and ns.type not in shape.joined)
    tape = Tape()
    attribute = apparmor.add_open(tape) if shape.spec.process.apparmor_profile else None
    shm = _add_entry(tape, shape, made)
    if "mount" in made:
        root = _add_tree(tape, shape, shm)
        process.add_null_stdio(tape, shape.program.nulls)
    else:
        process.add_null_stdio(tape, shape.program.nulls)
        root = _add_chroot(tape, shape)
    add_program(tape, shape.spec.process, root, shape.program, attribute)
    by_clone = tuple(name for name in made if not (name == "mount" and shape.anchored))
    return Plan(tape, namespaces.clone_flags(by_clone))


def _add_entry(tape: Tape, shape: Shape, made: tuple[str, ...]) -> Result | None:
    """Add stdio, cgroups and namespaces: the steps while the host's tree is still visible.

    Returns the copy of another container's /dev/shm, if that is shared.
    """
    if "user" in made:
        namespaces.add_wait_for_maps(tape)
    process.add_stdio(tape, shape.program.nulls)
    for number in range(shape.joins):
        tape.add(f"join cgroup {number}", "write", Slot(f"cgroup{number}"), b"0", 1)
    namespaces.add_late(tape, made)
    for clock, offset in shape.spec.linux.time_offsets:
        namespaces.add_time_offset(tape, clock, offset.secs, offset.nanosecs)
    for name in shape.joined:
        if name != "pid":
            namespaces.add_join(tape, name, f"ns_{name}")
    shm = mounts.add_take_shm(tape, "ns_ipc") if "ipc" in shape.joined else None
    if "user" in made and "network" in made:
        namespaces.add_loopback(tape)
    tape.add("new session", "setsid")
    if shape.spec.process.terminal:
        terminal.add_controlling(tape)
    if "uts" in made:
        tape.add("set host name", "sethostname", Slot("hostname"), Slot("hostname_length"))
    return shm


def _add_chroot(tape: Tape, shape: Shape) -> Result:
    """Add the root of a container without a mount namespace, and so without mounts."""
    if shape.directories:
        raise PlanError('mounts need a mount namespace; keep "mount" in namespaces, or give no mounts')
    return mounts.add_enter_chroot(tape)


def _add_tree(tape: Tape, shape: Shape, shm: Result | None) -> Result:
    """Add the root file system and all mounts on it."""
    spec = shape.spec
    if shape.anchored:
        root = mounts.add_enter_anchor(tape)
    else:
        slave = spec.linux.rootfs_propagation in ("slave", "rslave")
        root = mounts.add_enter_pivot(tape, MS_SLAVE if slave else MS_PRIVATE)
        namespaces.add_become_root(tape)
    early = [mount for mount in spec.mounts if _is_early(mount)]
    _add_early_mounts(tape, root, early, spec, shm)
    if shape.cgroups:
        mounts.add_cgroups(tape, root, shape.cgroups)
    if not shape.anchored:
        mounts.add_detach_host(tape)
    for name, value in spec.linux.sysctl:
        _refuse_host_sysctl(name, spec)
        process.add_sysctl(tape, root, name, value)
    for path in spec.linux.masked_paths:
        mounts.add_mask(tape, path)
    for path in spec.linux.readonly_paths:
        mounts.add_read_only(tape, path)
    directories = iter(enumerate(shape.directories))
    for mount in spec.mounts:
        if mount not in early:
            _add_late_mount(tape, root, mount, directories)
    if spec.root.readonly:
        mounts.add_read_only_root(tape)
    return root


def _is_early(mount: Mount) -> bool:
    """Say whether a mount is part of /proc, /sys or /dev, which come before masks and volumes."""
    top = mount.destination.split("/")[1:2]
    return top in (["proc"], ["sys"], ["dev"]) and not parse_options(mount.options).bind


def _add_early_mounts(tape: Tape, root: Result, early: list[Mount], spec: Spec, shm: Result | None) -> None:
    """Add the kernel's file systems and /dev. A /dev that the tape mounted cannot contain symlinks."""
    fresh_dev = False
    for mount in early:
        _refuse_over_kernel(mount)
        options = parse_options(mount.options)
        path, kind = mount.destination, mount.type
        what = (path, kind, mount.source or kind, options.flags, options.data)
        if kind == "devpts" and spec.process.terminal:
            mounts.add_directory(tape, root, path)
            terminal.add_devpts(tape, root)
        elif path == "/dev/shm" and fresh_dev and shm is not None:
            mounts.add_attach_in_fresh(tape, path, shm)
        elif fresh_dev and path.startswith("/dev/") and path.count("/") == 2:
            mounts.add_mount_in_fresh(tape, *what)
        else:
            mounts.add_mount(tape, root, *what, strict=True)
        if path == "/dev":
            fresh_dev = True
            _add_devices(tape, root, spec)
    if spec.process.terminal:
        terminal.add_console(tape, root)


def _add_devices(tape: Tape, root: Result, spec: Spec) -> None:
    nodes = device_nodes(spec)
    if any(namespace.type == "user" for namespace in spec.linux.namespaces):
        devices.add_bound_nodes(tape, root, nodes)
    else:
        devices.add_nodes(tape, root, nodes)


def _add_late_mount(tape: Tape, root: Result, mount: Mount, directories: Iterator[tuple[int, bool]]) -> None:
    """Add a volume: a bind mount from its slot, or a new file system."""
    _refuse_over_kernel(mount)
    options = parse_options(mount.options)
    if options.bind:
        number, directory = next(directories)
        mounts.add_attach(tape, root, mount.destination, f"mount{number}", directory=directory)
    else:
        what = (mount.destination, mount.type, mount.source or mount.type, options.flags, options.data)
        mounts.add_mount(tape, root, *what, propagation=options.propagation)


def device_nodes(spec: Spec) -> tuple[devices.DeviceNode, ...]:
    """Return a container's device nodes, defaults first; one with the same path replaces a default."""
    nodes = {node.path: node for node in devices.DEFAULT}
    for d in spec.linux.devices:
        nodes[d.path] = devices.DeviceNode(d.path, d.type, d.major, d.minor, d.file_mode, d.uid, d.gid)
    return tuple(nodes.values())


def _refuse_host_sysctl(name: str, spec: Spec) -> None:
    """Refuse a parameter that is not namespaced for the container: it would change the host's."""
    made = {ns.type for ns in spec.linux.namespaces}
    if sysctls.namespace_of(name) not in made:
        raise PlanError(f"sysctl {name}: it is in no namespace of the container's own; set it on the host")


def _refuse_over_kernel(mount: Mount) -> None:
    """Refuse mounts over /proc or /sys, which would hide the masks (CVE-2019-16884, CVE-2023-27561).

    Allowed, as in runc: bind mounts below /sys, and the files that lxcfs provides.
    """
    parts = [part for part in mount.destination.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise PlanError(f"mount on {mount.destination}: write the path without `..`")
    if parse_options(mount.options).bind and (parts[:1] == ["sys"] or "/".join(parts[1:]) in _LXCFS):
        return
    own = {"proc": "/proc", "sysfs": "/sys", "cgroup": "/sys/fs/cgroup", "cgroup2": "/sys/fs/cgroup"}
    if parts[:1] in (["proc"], ["sys"]) and own.get(mount.type) != "/" + "/".join(parts):
        raise PlanError(f"mount on {mount.destination}: nothing may be mounted over /proc or /sys")


def namespaces_of(names: tuple[str, ...]) -> tuple[Namespace, ...]:
    """Return `names` as new namespaces."""
    return tuple(Namespace(type=name) for name in names)  # type: ignore[arg-type]
