"""What the containers of one engine draw from: directories, roots, cgroups, network namespaces, the init."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine import process_resources, sweeping
from runtime.engine.config import ContainerConfig
from runtime.engine.directories import Directories
from runtime.engine.mount_point_layer import FILES
from runtime.engine.paths_in_root import make_behind_link
from runtime.engine.prepare import Prepared
from runtime.engine.roots import Root, Roots
from runtime.oci.spec import NamespaceType
from runtime.spawn.cgroups import Cgroup, find_layout, joined_v1
from runtime.spawn.init import open_init
from runtime.spawn.mount_anchor import make_anchor
from runtime.spawn.owner import Owner

if TYPE_CHECKING:
    from runtime.network.model import NetworkAttachment


class EngineResources:
    """Made and closed by its engine. Making it also frees what dead engines left: `swept`.

    join_slots: the slots of the v1 hierarchies a child joins. cgroup_views: the names that a cgroup view has
    below its top. targets: as Engine has it.
    """

    def __init__(self, root: Path, *, targets: bool) -> None:
        self._lock = threading.Lock()
        self._init_fd = -1
        with contextlib.ExitStack() as undo:
            process_resources.enter()
            undo.callback(process_resources.leave)
            self.directories = Directories(root, Owner.current())
            undo.callback(self.directories.close)
            self.own_pid_namespace_fd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, self.own_pid_namespace_fd)
            self.roots = Roots(self.directories, process_resources.POOL_SIZE, targets=targets)
            self.anchor_fd = make_anchor(self.directories.mountpoint)
            undo.callback(os.close, self.anchor_fd)
            mounts = dict.fromkeys(joined_v1(find_layout()).values())
            self.join_slots = tuple(f"cgroup{number}" for number in range(len(mounts)))
            self.cgroup_views = tuple(mount.rpartition("/")[2] for mount in mounts) or ("",)
            self.swept = tuple(sweeping.sweep(self.directories))
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Free everything."""
        with self._undo:
            self.roots.close()
            if self._init_fd >= 0:
                os.close(self._init_fd)

    def take_cgroup(self, container_id: str, config: ContainerConfig) -> Cgroup | None:
        """Make the cgroup of a container, None when it is to have none."""
        if not config.cgroup:
            return None
        return process_resources.cgroups(config.cgroup_parent).create(container_id, config.limits)

    def take_root(self, prepared: Prepared) -> Root:
        """Make the root file system of a container."""
        root = self._take_root(prepared)
        if prepared.config.mounts and prepared.maps is None:
            make_dangling_mount_points(root, prepared)
        return root

    def _take_root(self, prepared: Prepared) -> Root:
        if prepared.config.rootfs:
            return self.roots.bind(prepared.config.rootfs)
        home = prepared.config.home
        if prepared.maps is not None:
            return self.roots.make_mapped(prepared.layers, prepared.maps, home)
        if home:
            return self.roots.take_at(home, prepared.layers)
        return self.roots.take(prepared.layers)

    def attach(
        self, config: ContainerConfig, joined: tuple[NamespaceType, ...] = (), address: str = ""
    ) -> NetworkAttachment | None:
        """Take a network namespace for a container, None when it has the host's or that of another.

        address: which it will be given on a named network.
        """
        if not takes_network(config) or "network" in joined:
            return None
        return process_resources.networks().attach(config.network, config.ports, address)

    def detach(self, attachment: NetworkAttachment) -> None:
        """Return a container's network to its pool."""
        process_resources.networks().detach(attachment)

    def init_fd(self) -> int:
        """Return the descriptor of the init, made at first need."""
        with self._lock:
            if self._init_fd < 0:
                self._init_fd = open_init()
            return self._init_fd


def takes_network(config: ContainerConfig) -> bool:
    """Say whether the network namespace comes from the pool of namespaces.

    One made with a user namespace must belong to it, so it is then made by the clone.
    """
    return config.network != "host" and "network" in config.namespaces and "user" not in config.namespaces


def make_dangling_mount_points(root: Root, prepared: Prepared) -> None:
    """Make the mount points that lie behind a symbolic link which leads nowhere, where it points to.

    The tape makes what is missing one directory after the other, and would stop at such a link. What cannot
    be made is left to the start, which says why. Those of FILES that are in the layers are only looked at
    once the container has an /etc of its own.
    """
    known = root.targets and not os.path.isdir(f"{root.home}/u/etc")  # noqa: PTH112 - on the start path
    directories = iter(prepared.shape.directories)
    for mount in prepared.config.mounts:
        bind = "rbind" in mount.options or "bind" in mount.options
        directory = next(directories) if bind else True
        if not (known and mount.destination[1:] in FILES):
            make_behind_link(root.fd, mount.destination, directory=directory)
