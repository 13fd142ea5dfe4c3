"""The engine: makes containers, owns what they share, and frees what dead engines left."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from runtime.engine import launch, shared, sweeping
from runtime.engine.config import ContainerConfig
from runtime.engine.container import Container
from runtime.engine.dangling_mount_points import make_places
from runtime.engine.directories import Directories
from runtime.engine.errors import EngineError
from runtime.engine.prepare import Prepared, prepare
from runtime.engine.roots import Root, Roots
from runtime.oci.spec import NamespaceType
from runtime.spawn.cgroups import Cgroup, find_layout, joined_v1
from runtime.spawn.init import open_init
from runtime.spawn.mount_anchor import make_anchor
from runtime.spawn.owner import Owner

if TYPE_CHECKING:
    from runtime.image import Execution, Image, ImageStore
    from runtime.network.model import Attachment

_PATIENCE_S, _LEAST_PATIENCE_S = 10.0, 0.2
DEFAULT_ROOT = Path("/var/lib/ninetynine/runtime")


class Engine:
    """Containers of this process. Several threads may call it. Use it in a `with`, or call close().

    root: directory for images (in `images`) and containers, on a file system that overlay can write to.
    Making an engine also frees what engines left that were killed; a living one's containers are never
    touched. Containers die with close(), or, after a kill of this process, with the next engine's sweep().
    pools: keep roots, cgroups and network namespaces ready for the next starts (see warm()).
    on_spare: called when pools may want a refill, in place of doing it there and then (see refill_one()).
    targets: make what all containers of a daemon mount on (/etc/hosts…) once for an image, not in each.
    swept: what making this engine has freed.
    """

    def __init__(
        self,
        root: Path = DEFAULT_ROOT,
        *,
        pools: bool = True,
        on_spare: Callable[[ContainerConfig, tuple[str, ...]], None] | None = None,
        targets: bool = False,
    ) -> None:
        self.root = Path(root).absolute()  # the child resolves it elsewhere
        self._on_spare = on_spare
        self._lock = threading.RLock()
        self._containers: dict[str, Container] = {}
        self._images: dict[tuple[str, ...], Image] = {}
        self._pools = pools
        self._created = 0
        self._coming = deque(secrets.token_hex(6) for _ in range(shared.POOL_SIZE))
        self._closed = False
        self._init_fd = -1
        with contextlib.ExitStack() as undo:
            shared.enter()
            undo.callback(shared.leave)
            self.directories = Directories(self.root, Owner.current())
            undo.callback(self.directories.close)
            self.own_pid_namespace_fd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, self.own_pid_namespace_fd)
            self._roots = Roots(self.directories, shared.POOL_SIZE, targets=targets)
            self.anchor_fd = make_anchor(self.directories.mountpoint)
            undo.callback(os.close, self.anchor_fd)
            self.join_slots, self._cgroup_views = self._find_joins()
            self.swept = tuple(self.sweep())
            self._undo = undo.pop_all()

    @functools.cached_property
    def images(self) -> ImageStore:
        """The images below the root, opened at first need."""
        from runtime.image import ImageStore

        return ImageStore(self.root / "images")

    def _find_joins(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The slots of the v1 hierarchies a child joins, and the names a cgroup view has below its top."""
        mounts = dict.fromkeys(joined_v1(find_layout()).values())
        slots = tuple(f"cgroup{number}" for number in range(len(mounts)))
        return slots, tuple(mount.rpartition("/")[2] for mount in mounts) or ("",)

    # ---- containers -----------------------------------------------------------------------------------

    def create(
        self,
        config: ContainerConfig,
        *,
        id: str = "",  # noqa: A002
        joined: Mapping[NamespaceType, Container] | None = None,
    ) -> Container:
        """Plan a container; nothing is made on the host before its start().

        id: letters and digits, a new one by default. joined: running containers whose namespaces network,
        ipc (with their /dev/shm), pid or uts it shares; the config names these namespaces too. Raises
        EngineError, ImageError for an unknown image, or the error of the part that cannot be done.
        """
        if self._closed:
            raise EngineError("create container: the engine is closed; make another one")
        config, layers, image = self._resolve(config)
        lease = self.images.lease(image) if image else None
        try:
            if not layers and not config.rootfs:
                raise EngineError("create container: no image, layers or rootfs given; name one of them")
            others = dict(joined or {})
            if others and "user" in config.namespaces:
                raise EngineError("create container: a user namespace joins no other container's namespaces")
            taken: tuple[NamespaceType, ...] = ("network",) if _joins_network(config) else ()
            taken += tuple(name for name in others if name not in taken)
            joins = len(self.join_slots) if config.cgroup else 0
            prepared = prepare(config, layers, joins, taken, self._cgroup_views if config.cgroup else ())
        except BaseException:
            if lease is not None:
                lease.close()
            raise
        container = Container(self, id or self._new_id(), prepared, lease, others)
        self._containers[container.id] = container
        self._created += 1
        return container

    def _new_id(self) -> str:
        self._coming.append(secrets.token_hex(6))
        return self._coming.popleft()

    def expect(self, ids: Iterable[str]) -> None:
        """Say which ids the next containers will have, if others give them: their cgroups are made ahead."""
        self._coming = deque(ids)

    def _resolve(self, config: ContainerConfig) -> tuple[ContainerConfig, tuple[str, ...], Image | None]:
        """Return the config with what its image adds, the layers, and the image if there is one."""
        if not config.image:
            return config, config.layers, None
        image = self.images.resolve(config.image)
        layers = tuple(map(str, image.layer_dirs))
        self._images[layers] = image
        return _with_image(config, image.execution), layers, image

    def warm(self, config: ContainerConfig) -> None:
        """Fill the pools that starts of `config` draw from: roots, cgroups, network namespaces."""
        config, layers, _ = self._resolve(config)
        self._refill(config, layers)

    def _refill(self, config: ContainerConfig, layers: tuple[str, ...]) -> None:
        while not self.refill_one(config, layers):
            pass

    def refill_one(self, config: ContainerConfig, layers: tuple[str, ...]) -> bool:
        """Make one thing ready that starts of `config` draw from; True when nothing is missing."""
        if not self._pools or self._closed:
            return True
        if config.cgroup:
            show = launch.show if config.cgroup_view and not config.privileged else None
            if not shared.cgroups(config.cgroup_parent).refill(tuple(self._coming), 1, show):
                return False
        if _joins_network(config) and not shared.networks().refill(config.network, 1):
            return False
        if not layers or config.rootfs or "user" in config.namespaces:
            return True
        self._roots.drop_stale()
        image = self._images.get(layers)
        return self._roots.refill(layers, lambda: self.images.lease(image) if image else None, 1)

    def close(self, patience_s: float = _PATIENCE_S) -> None:
        """Remove all containers and free what they shared. Idempotent.

        Raises EngineError or CgroupError when processes are stuck in the kernel after `patience_s`; all else
        is freed then, and these by the sweep of a later engine.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        deadline = time.monotonic() + patience_s
        with self._undo, contextlib.ExitStack() as stack:
            for container in list(self._containers.values()):
                stack.callback(self._remove, container, deadline)
            stack.callback(self._roots.close)
            if self._init_fd >= 0:
                os.close(self._init_fd)

    def _remove(self, container: Container, deadline: float) -> None:
        container.remove(max(_LEAST_PATIENCE_S, deadline - time.monotonic()))

    def sweep(self) -> list[str]:
        """Kill the containers and free all that engines of dead processes left; return what was freed."""
        return sweeping.sweep(self.directories)

    # ---- for containers -------------------------------------------------------------------------------

    def take_cgroup(self, id: str, config: ContainerConfig) -> Cgroup | None:  # noqa: A002
        """Make the cgroup of a container, None when it is to have none."""
        if not config.cgroup:
            return None
        return shared.cgroups(config.cgroup_parent).create(id, config.limits)

    def take_root(self, prepared: Prepared) -> Root:
        """Make the root file system of a container."""
        root = self._take_root(prepared)
        if prepared.config.mounts and prepared.maps is None:
            make_places(root, prepared)
        return root

    def _take_root(self, prepared: Prepared) -> Root:
        if prepared.config.rootfs:
            return self._roots.bind(prepared.config.rootfs)
        home = prepared.config.home
        if prepared.maps is not None:
            return self._roots.make_mapped(prepared.layers, prepared.maps, home)
        if home:
            return self._roots.take_at(home, prepared.layers)
        return self._roots.take(prepared.layers)

    def attach(
        self, config: ContainerConfig, joined: tuple[NamespaceType, ...] = (), address: str = ""
    ) -> Attachment | None:
        """Take a network namespace for a container, None when it has the host's or that of another.

        address: which it will be given on a named network.
        """
        if not _joins_network(config) or "network" in joined:
            return None
        return shared.networks().attach(config.network, config.ports, address)

    def detach(self, attachment: Attachment) -> None:
        """Give a container's network back."""
        shared.networks().detach(attachment)

    def init_fd(self) -> int:
        """Return the descriptor of the init, made at first need."""
        with self._lock:
            if self._init_fd < 0:
                self._init_fd = open_init()
            return self._init_fd

    def forget(self, container: Container) -> None:
        """Drop a removed container, and bring the pools it drew from up to size again.

        Not after the first: who starts a single container has no use for a ready second one.
        """
        self._containers.pop(container.id, None)
        if self._closed or self._created < 2:
            return
        if self._on_spare is not None:
            self._on_spare(container.config, container.layers)
        else:
            self._refill(container.config, container.layers)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _with_image(config: ContainerConfig, image: Execution) -> ContainerConfig:
    """Fill what the config leaves open from the image's own: entrypoint and command, env, user, directory."""
    entrypoint, command = config.entrypoint, config.argv
    if entrypoint is None:
        entrypoint, command = tuple(image.entrypoint or ()), command or tuple(image.cmd or ())
    return msgspec.structs.replace(
        config,
        argv=(*entrypoint, *command),
        entrypoint=None,
        env=config.env if config.env is not None else (tuple(image.env) if image.env else None),
        cwd=config.cwd or image.working_dir or None,
        user=config.user if config.user is not None else image.user or None,
    )


def _joins_network(config: ContainerConfig) -> bool:
    """Say whether the network namespace comes from the network room's pool.

    One made with a user namespace must belong to it, so it is then made by the clone.
    """
    return config.network != "host" and "network" in config.namespaces and "user" not in config.namespaces
