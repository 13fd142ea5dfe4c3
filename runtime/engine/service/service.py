"""A whole daemon but for its API: makes the parts, and handles the loss of the spawner."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.engine.errors import EngineError, UnavailableError
from runtime.engine.service.containers.containers import Containers
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.host.events import EventBus
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.info import InfoAnswer, daemon_id, info_document
from runtime.engine.service.records.table import ContainerTable
from runtime.engine.service.rules.settings import DEFAULTS, Settings
from runtime.spawn import apparmor

if TYPE_CHECKING:
    from runtime.engine.service.model.record import ContainerRecord
    from runtime.engine.spawner.client import Spawner
    from runtime.image.registry.client import RegistryClient

_REOPEN_S = (0.1, 10.0)
"""The first and the longest wait before another spawner is tried again."""
_RECOVERY_S = 3.0
"""How long to wait for another spawner before containers count as ended and their policies apply."""

log = logging.getLogger(__name__)


class Service(Parts):
    """All of one daemon, below `root`. Made by open()."""

    containers: Containers

    def __init__(self) -> None:
        self._recoveries: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        root: Path,
        *,
        live_restore: bool = False,
        private: bool = False,
        insecure: tuple[str, ...] = (),
        mirrors: tuple[str, ...] = (),
        experimental: bool = False,
        settings: Settings = DEFAULTS,
        spawner: Awaitable[socket.socket] | None = None,
    ) -> Service:
        """Open the daemon's state at `root`, recover what still runs, start what restart policies start.

        insecure: registries without TLS; mirrors: hosts that are asked before Docker Hub (registry.options).
        private: containers end with this process, however that ends, and no policy starts any. experimental:
        is reported to clients, some of which ask for more then. settings: defaults of containers and
        networks, checked by settings.check_settings. spawner: a spawner.launch.connect under way. Raises
        UnavailableError when no spawner can be started, or when a private daemon finds another's containers
        running. The caller ensures that no other daemon has this root.
        """
        service = cls()
        service.root = Path(root).absolute()
        service.live_restore, service.insecure, service.mirrors = live_restore, insecure, mirrors
        service.experimental, service.settings, service.private = experimental, settings, private
        service.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            await service._wire(spawner)
        except BaseException:
            await service._leave()
            raise
        return service

    async def _wire(self, spawner: Awaitable[socket.socket] | None) -> None:
        """Make the parts; imported here, so that single parts can be used without the others."""
        from runtime.engine.service.containers.execs import Execs
        from runtime.engine.service.networks.networks import Networks
        from runtime.engine.service.stdio.streams import Streams
        from runtime.image.store.image_store import ImageStore
        from runtime.volume.store import VolumeStore

        self.events = EventBus()
        self.images = await asyncio.to_thread(ImageStore, self.root / "images")
        await asyncio.to_thread(self.images.sweep)
        self.volumes = await asyncio.to_thread(VolumeStore, self.root / "volumes")
        await asyncio.to_thread(_load_profile)
        self.spawner = await self._open_spawner(spawner)
        self.table = ContainerTable(self.root, self.events, self.images)
        self.streams, self.networks = Streams(self), Networks(self)
        self.execs = Execs(self, self.networks)
        self.containers = Containers(self)
        self.spawner.on_lost = self._lost
        await self.networks.open()
        await self.containers.open()

    @functools.cached_property
    def registry(self) -> RegistryClient:
        """The client of registries, made at first need: what it imports takes as long as a start."""
        from runtime.image.registry.client import RegistryClient
        from runtime.image.registry.options import RegistryOptions

        return RegistryClient(RegistryOptions(insecure=self.insecure, mirrors=self.mirrors))

    async def _open_spawner(self, begun: Awaitable[socket.socket] | None = None) -> Spawner:
        from runtime.engine.spawner.client import Spawner

        spawner = await Spawner.open(self.root, private=self.private, begun=begun)
        if self.private and spawner.running:
            await spawner.close(kill=False)
            raise UnavailableError(
                f"open {self.root}: an nnd left containers running there; start that nnd again"
            )
        return spawner

    async def _leave(self) -> None:
        """Undo a failed opening: end the spawner, unless it has containers of an earlier daemon."""
        spawner: Spawner | None = getattr(self, "spawner", None)
        if spawner is not None:
            with contextlib.suppress(EngineError):
                await spawner.close(kill=not spawner.running)

    def _lost(self) -> None:
        log.error("the spawner is gone, and with it all containers that ran; starting another one")
        self.reopening = asyncio.create_task(self._reopen())
        recovery = asyncio.create_task(self._recover(self.containers.running(), self.reopening))
        self._recoveries.add(recovery)
        recovery.add_done_callback(self._recoveries.discard)

    async def _reopen(self) -> None:
        """Start another spawner, however often that fails: the cause may pass."""
        wait_s = _REOPEN_S[0]
        while True:
            try:
                self.spawner = await self._open_spawner()
            except EngineError as error:
                log.error("cannot start another spawner, trying again in %g s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _REOPEN_S[1])
            else:
                self.spawner.on_lost = self._lost
                return

    async def _recover(self, lost: list[ContainerRecord], reopening: asyncio.Task[None]) -> None:
        self.execs.lost()
        await asyncio.wait([reopening], timeout=_RECOVERY_S)
        await self.containers.lost(lost)
        await asyncio.wait([reopening])
        if not reopening.cancelled():
            self.containers.listen()

    async def close(self) -> None:
        """Stop all containers with their signal and grace, or leave them running (live_restore)."""
        if self.reopening is not None:
            self.reopening.cancel()
        await self.containers.close(live_restore=self.live_restore)
        self.execs.close()
        self.streams.close()
        try:
            await self.networks.close()
            try:
                await self.spawner.close(kill=not (self.live_restore and self.containers.running()))
            finally:
                await asyncio.to_thread(self.volumes.close)
        finally:
            self.events.close()

    def reload(
        self, settings: Settings, *, live_restore: bool, insecure: tuple[str, ...], mirrors: tuple[str, ...]
    ) -> None:
        """Apply what may change while it runs, as in docker: registries, labels, and how it ends."""
        self.live_restore = live_restore
        if (insecure, mirrors) != (self.insecure, self.mirrors):
            self.insecure, self.mirrors = insecure, mirrors
            self.__dict__.pop("registry", None)
        self.settings = msgspec.structs.replace(
            self.settings, labels=settings.labels, shutdown_timeout=settings.shutdown_timeout
        )
        attributes = {"name": host_facts().hostname, "labels": msgspec.json.encode(settings.labels).decode()}
        self.events.publish("daemon", "reload", daemon_id(self), attributes)

    def info(self) -> InfoAnswer:
        """Return the document of `GET /info`: counts, drivers, the host."""
        return info_document(self)


def _load_profile() -> None:
    try:
        if host_facts().apparmor:
            apparmor.load()
    except apparmor.AppArmorError as error:
        raise UnavailableError(str(error)) from error
