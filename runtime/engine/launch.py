"""The slots of a start: the values that differ from one container to the next."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Sequence

from runtime.engine.config import ContainerConfig
from runtime.engine.errors import EngineError
from runtime.engine.prepare import Prepared
from runtime.oci.plan import device_nodes
from runtime.spawn.cgroups import Cgroup
from runtime.spawn.linux import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
)
from runtime.spawn.mount_copies import clone_mount, clone_mount_beneath
from runtime.spawn.tape import SlotValue, StepError, pointers

_NULL = os.makedev(1, 3)


class OpenFds:
    """Descriptors that live from the preparation of a start to its end."""

    def __init__(self) -> None:
        self._fds: list[int] = []

    def keep(self, fd: int) -> int:
        """Close `fd` with the others."""
        self._fds.append(fd)
        return fd

    def close(self) -> None:
        """Close them all."""
        while self._fds:
            os.close(self._fds.pop())


def program_slots(argv: Sequence[str], env: Sequence[str], paths: Sequence[str]) -> dict[str, SlotValue]:
    """What to execute."""
    slots: dict[str, SlotValue] = {"argv": pointers(argv), "env": pointers(env)}
    for number, path in enumerate(paths):
        slots[f"path{number}"] = path.encode()
    return slots


def device_slots(prepared: Prepared, fds: OpenFds) -> dict[str, SlotValue]:
    """Return detached copies of the host's device nodes, for a container that may not make any."""
    nodes = device_nodes(prepared.spec)
    return {
        f"device{number}": fds.keep(clone_mount(node.path, recursive=False))
        for number, node in enumerate(nodes)
    }


def nulls_of(stdio: Sequence[int]) -> tuple[int, ...]:
    """Return which descriptors are /dev/null: -1, and those that the caller opened on the host's."""
    return tuple(number for number, fd in enumerate(stdio) if fd < 0 or os.fstat(fd).st_rdev == _NULL)


def stdio_slots(stdio: Sequence[int], nulls: Sequence[int], fds: OpenFds) -> dict[str, SlotValue]:
    """Return descriptors 0, 1, 2 except `nulls`.

    Those below 3 are moved: a dup3 onto themselves would fail.
    """
    slots: dict[str, SlotValue] = {}
    for number, fd in enumerate(stdio):
        if number not in nulls:
            slots[f"fd{number}"] = fds.keep(_above_stdio(fd)) if fd < 3 else fd
    return slots


def mount_slots(prepared: Prepared, fds: OpenFds) -> dict[str, SlotValue]:
    """Return detached copies of the bind mounts' sources."""
    slots: dict[str, SlotValue] = {}
    for number, (source, options) in enumerate(prepared.binds):
        propagation = options.propagation & ~MS_REC or MS_PRIVATE
        try:
            if options.part:
                tree = clone_mount_beneath(
                    source, options.part, options.attributes, recursive=options.recursive
                )
            else:
                tree = clone_mount(
                    source,
                    options.attributes,
                    recursive=options.recursive,
                    propagation=propagation,
                    shallow=options.shallow,
                )
        except StepError as error:
            raise EngineError(f"mount source {source}: {error}") from error
        slots[f"mount{number}"] = fds.keep(tree)
    return slots


def cgroup_slots(
    group: Cgroup, config: ContainerConfig, wanted: Collection[str], fds: OpenFds
) -> dict[str, SlotValue]:
    """Return detached mounts of the container's own cgroup directories, for its view.

    On v2 without its own cgroup namespace it sees the host's tree, which /proc/self/cgroup then refers to,
    too.
    """
    if "cgroupfs0" not in wanted:
        return {}
    whole = "cgroup" not in config.namespaces and not group.hierarchies and group.v2_top is not None
    if group.shown and not config.privileged and not whole:
        return {f"cgroupfs{number}": fd for number, fd in enumerate(group.shown)}
    return {
        f"cgroupfs{number}": fds.keep(_view(path, read_only=not config.privileged))
        for number, path in enumerate((group.v2_top,) if whole else _seen(group))
    }


def show(group: Cgroup) -> None:
    """Make in advance what cgroup_slots() returns, for a container without privileges."""
    for path in _seen(group):
        group.shown += (_view(path, read_only=True),)


def _seen(group: Cgroup) -> tuple[str | None, ...]:
    return group.hierarchies or (group.v2_dir,)


def _view(path: str | None, *, read_only: bool) -> int:
    assert path is not None
    attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    return clone_mount(path, attributes | (MOUNT_ATTR_RDONLY if read_only else 0), recursive=False)


def _above_stdio(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
