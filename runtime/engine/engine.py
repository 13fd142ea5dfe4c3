"""The engine: makes containers, owns what they share, and frees what dead engines left."""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from runtime.engine import launch, process_resources, sweeping
from runtime.engine.config import ContainerConfig
from runtime.engine.container import Container
from runtime.engine.errors import EngineError
from runtime.engine.prepare import prepare
from runtime.engine.resources import EngineResources, takes_network
from runtime.oci.spec import NamespaceType

if TYPE_CHECKING:
    from runtime.image.documents import Execution
    from runtime.image.store.image import Image
    from runtime.image.store.image_store import ImageStore

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
        self._coming = deque(secrets.token_hex(6) for _ in range(process_resources.POOL_SIZE))
        self._closed = False
        self._resources = EngineResources(self.root, targets=targets)
        self.swept = self._resources.swept

    @functools.cached_property
    def images(self) -> ImageStore:
        """The images below the root, opened at first need."""
        from runtime.image.store.image_store import ImageStore

        return ImageStore(self.root / "images")

    # ---- containers -----------------------------------------------------------------------------------

    def create(
        self,
        config: ContainerConfig,
        *,
        container_id: str = "",
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
            taken: tuple[NamespaceType, ...] = ("network",) if takes_network(config) else ()
            taken += tuple(name for name in others if name not in taken)
            joins = len(self._resources.join_slots) if config.cgroup else 0
            views = self._resources.cgroup_views if config.cgroup else ()
            prepared = prepare(config, layers, joins, taken, views)
        except BaseException:
            if lease is not None:
                lease.close()
            raise
        container = Container(
            self._resources, self._forget, container_id or self._new_id(), prepared, lease, others
        )
        self._containers[container.id] = container
        self._created += 1
        return container

    def _new_id(self) -> str:
        self._coming.append(secrets.token_hex(6))
        return self._coming.popleft()

    def expect(self, ids: Iterable[str]) -> None:
        """Set the ids of the next containers, if the caller chooses them: their cgroups are made ahead."""
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
            if not process_resources.cgroups(config.cgroup_parent).refill(tuple(self._coming), 1, show):
                return False
        if takes_network(config) and not process_resources.networks().refill(config.network, 1):
            return False
        if not layers or config.rootfs or "user" in config.namespaces:
            return True
        self._resources.roots.drop_stale()
        image = self._images.get(layers)
        return self._resources.roots.refill(layers, lambda: self.images.lease(image) if image else None, 1)

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
        with contextlib.ExitStack() as stack:
            stack.callback(self._resources.close)
            for container in list(self._containers.values()):
                stack.callback(self._remove, container, deadline)

    def _remove(self, container: Container, deadline: float) -> None:
        container.remove(max(_LEAST_PATIENCE_S, deadline - time.monotonic()))

    def sweep(self) -> list[str]:
        """Kill the containers and free all that engines of dead processes left; return what was freed."""
        return sweeping.sweep(self._resources.directories)

    def _forget(self, container: Container) -> None:
        """Drop a removed container, and refill the pools it drew from.

        Not after the first: nobody who starts a single container needs resources ready for a second one.
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
    """Complete the config from the image's: entrypoint and command, env, user, directory."""
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
