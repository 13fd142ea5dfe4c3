"""The engine: makes containers, owns what they share, and frees what dead engines left."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from types import TracebackType

from runtime.engine.config import ContainerConfig
from runtime.engine.container import Container
from runtime.engine.directories import Directories
from runtime.engine.prepare import prepare
from runtime.spawn.cgroups import Cgroup, CgroupManager
from runtime.spawn.owner import Owner

DEFAULT_ROOT = Path("/var/lib/ninetynine/runtime")
PREFIX = "nn"


class Engine:
    """Containers of this process. Several threads may call it. Use it in a `with`, or call close().

    root: directory for images and containers; on a file system that overlay can use as an upper layer.
    """

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self.root = Path(root)
        self.owner = Owner.current()
        self.directories = Directories(self.root, self.owner)
        self._cgroups = CgroupManager(PREFIX, owner=self.owner)
        self.join_slots: tuple[str, ...] = ()
        self.null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._containers: dict[str, Container] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._joins = len(self._probe_joins())

    def _probe_joins(self) -> tuple[str, ...]:
        group = self._cgroups.create("probe")
        joins = group.joins
        group.remove()
        self.join_slots = tuple(f"cgroup{number}" for number in range(len(joins)))
        return joins

    def create(self, config: ContainerConfig) -> Container:
        """Plan a container; nothing is made on the host before its start()."""
        prepared = prepare(config, config.layers, self._joins if config.cgroup else 0, ())
        container = Container(self, secrets.token_hex(6), prepared)
        self._containers[container.id] = container
        return container

    def take_cgroup(self, id: str, config: ContainerConfig) -> Cgroup | None:  # noqa: A002
        """Make the cgroup of a container, None when it is to have none."""
        return self._cgroups.create(id, config.limits) if config.cgroup else None

    def forget(self, container: Container) -> None:
        """Drop a removed container."""
        self._containers.pop(container.id, None)

    def close(self) -> None:
        """Remove all containers and free what they shared. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for container in list(self._containers.values()):
            container.remove()
        self._cgroups.close()
        self.directories.close()
        os.close(self.null_fd)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
