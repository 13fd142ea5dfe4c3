"""One daemon without its API: everything it is made of, wired together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.engine.service.containers import Containers
from runtime.engine.service.events import EventBus

if TYPE_CHECKING:
    from runtime.engine.service.execs import Execs
    from runtime.engine.service.networks import Networks
    from runtime.engine.service.streams import Streams
    from runtime.engine.spawner.client import Spawner
    from runtime.image.registry.client import RegistryClient
    from runtime.image.store import ImageStore
    from runtime.volume.store import VolumeStore


class Service:
    """All of one daemon, below `root`. Made by open(); a part takes the Service and finds the others in it.

    Streams(service), Execs(service), Networks(service), Containers(service); ImageStore(root / "images"),
    VolumeStore(root / "volumes"), RegistryClient(Options(insecure=insecure)).
    """

    root: Path
    images: ImageStore
    registry: RegistryClient
    volumes: VolumeStore
    networks: Networks
    containers: Containers
    streams: Streams
    execs: Execs
    events: EventBus
    spawner: Spawner

    @classmethod
    async def open(cls, root: Path, *, live_restore: bool = False, insecure: tuple[str, ...] = ()) -> Service:
        """Open the daemon's state at `root`, take up what still runs, start what its policy starts."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop all containers as their stop signal and grace say (unless live_restore), and leave nothing."""
        raise NotImplementedError

    def info(self) -> dict[str, Any]:
        """Return what `GET /info` tells: counts, drivers, the host."""
        raise NotImplementedError
