"""What every part of a daemon uses: settings, stores, events, the table of containers, the spawner."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.service.host.events import EventBus
from runtime.engine.service.records.table import ContainerTable
from runtime.engine.service.rules.settings import DEFAULTS, Settings

if TYPE_CHECKING:
    from runtime.engine.spawner.client import Spawner
    from runtime.image.store.image_store import ImageStore
    from runtime.volume.store import VolumeStore

_REOPEN_PATIENCE_S = 30.0


class Core:
    """The lowest layer of a Service, which fills it in. Parts are made with it, and with the parts they need.

    spawner: the one used now; another one takes its place when it is lost, so nobody keeps it.
    reopening: the task that starts another one. insecure, mirrors, private, experimental, settings: as
    Service.open has them.
    """

    root: Path
    live_restore: bool = False
    private: bool = False
    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    experimental: bool = False
    settings: Settings = DEFAULTS
    images: ImageStore
    volumes: VolumeStore
    events: EventBus
    table: ContainerTable
    spawner: Spawner
    reopening: asyncio.Task[None] | None = None

    async def reopened(self, spawner: Spawner) -> bool:
        """Say whether there is another spawner than this one, after waiting for one that is just starting."""
        if self.reopening is not None:
            await asyncio.wait([self.reopening], timeout=_REOPEN_PATIENCE_S)
        return self.spawner is not spawner
