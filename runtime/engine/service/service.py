"""One daemon without its API: everything it is made of, wired together."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.engine.errors import EngineError
from runtime.engine.service.containers import Containers
from runtime.engine.service.events import EventBus
from runtime.engine.service.info import info_document

if TYPE_CHECKING:
    from runtime.engine.service.execs import Execs
    from runtime.engine.service.networks import Networks
    from runtime.engine.service.record import ContainerRecord
    from runtime.engine.service.streams import Streams
    from runtime.engine.spawner.client import Spawner
    from runtime.image.registry.client import RegistryClient
    from runtime.image.store import ImageStore
    from runtime.volume.store import VolumeStore

log = logging.getLogger(__name__)


class Service:
    """All of one daemon, below `root`. Made by open(); each part takes the Service and finds others in it.

    Streams(service), Execs(service), Networks(service), Containers(service); ImageStore(root / "images"),
    VolumeStore(root / "volumes"), RegistryClient(registry.options.Options(insecure=insecure)).
    """

    root: Path
    live_restore: bool = False
    insecure: tuple[str, ...] = ()
    images: ImageStore
    registry: RegistryClient
    volumes: VolumeStore
    networks: Networks
    containers: Containers
    streams: Streams
    execs: Execs
    events: EventBus
    spawner: Spawner
    _reopening: asyncio.Task[bool] | None = None
    _recovery: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, root: Path, *, live_restore: bool = False, insecure: tuple[str, ...] = ()) -> Service:
        """Open the daemon's state at `root`, take up what still runs, start what its policy starts.

        Raises UnavailableError when there is no spawner to be had. That no other daemon has this root is the
        caller's to see to.
        """
        service = cls()
        service.root = Path(root).absolute()
        service.live_restore, service.insecure = live_restore, insecure
        service.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        await service._wire()
        return service

    async def _wire(self) -> None:
        """Make the parts; imported here, so that one part can be used without all others."""
        from runtime.engine.service.execs import Execs
        from runtime.engine.service.networks import Networks
        from runtime.engine.service.streams import Streams
        from runtime.engine.spawner.client import Spawner
        from runtime.image.registry.client import RegistryClient
        from runtime.image.registry.options import Options
        from runtime.image.store import ImageStore
        from runtime.volume.store import VolumeStore

        self.events = EventBus()
        self.images = await asyncio.to_thread(ImageStore, self.root / "images")
        await asyncio.to_thread(self.images.sweep)
        self.registry = RegistryClient(Options(insecure=self.insecure))
        self.volumes = await asyncio.to_thread(VolumeStore, self.root / "volumes")
        self.spawner = await Spawner.open(self.root)
        self.streams, self.execs = Streams(self), Execs(self)
        self.networks, self.containers = Networks(self), Containers(self)
        self.spawner.on_lost = self._lost
        await self.networks.open()
        await self.containers.open()

    def _lost(self) -> None:
        log.error("the spawner is gone, and with it all containers that ran; starting another one")
        self._reopening = asyncio.create_task(self._reopen())
        self._recovery = asyncio.create_task(self._recover(self.containers.running(), self._reopening))

    async def _reopen(self) -> bool:
        from runtime.engine.spawner.client import Spawner

        try:
            self.spawner = await Spawner.open(self.root)
        except EngineError:
            log.exception("no other spawner can be had: stop the daemon and start it again")
            return False
        self.spawner.on_lost = self._lost
        return True

    async def _recover(self, lost: list[ContainerRecord], reopening: asyncio.Task[bool]) -> None:
        self.execs.lost()
        if await reopening:
            await self.containers.lost(lost)

    async def reopened(self, spawner: Spawner) -> bool:
        """Say whether there is another spawner than this one, after waiting for one that is just starting."""
        if self._reopening is not None:
            await asyncio.wait([self._reopening])
        return self.spawner is not spawner

    async def close(self) -> None:
        """Stop all containers as their stop signal and grace say (unless live_restore), and leave nothing."""
        await self.containers.close(live_restore=self.live_restore)
        self.execs.close()
        self.streams.close()
        try:
            await self.networks.close()
            await self.spawner.close(kill=not self.live_restore)
            await asyncio.to_thread(self.volumes.close)
        finally:
            self.events.close()

    def info(self) -> dict[str, Any]:
        """Return what `GET /info` tells: counts, drivers, the host."""
        return info_document(self)
