"""State of a registry server and its upkeep: the store, open uploads, garbage collection."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from runtime.image.server.collect import GRACE_S, Collected, collect
from runtime.image.server.gate import Gate
from runtime.image.server.registry_store import RegistryStore
from runtime.image.server.uploads import Uploads

_EXPIRE_EVERY_S = 3600.0
log = logging.getLogger("ninetynine.registry")


class ResourcePath(NamedTuple):
    """A parsed path: repository, kind of resource, and which one."""

    repository: str
    kind: str
    rest: str


class RegistryServer:
    """The registry of one store. Create it inside a running event loop."""

    def __init__(self, store: RegistryStore, *, read_only: bool = False) -> None:
        self.store = store
        self.uploads = Uploads(store)
        self.gate = Gate()
        self.read_only = read_only

    async def collect(self, *, untagged: bool = False, grace_s: float = GRACE_S) -> Collected:
        """Collect garbage; pushes wait meanwhile, pulls do not."""
        async with self.gate.alone():
            found = await asyncio.to_thread(collect, self.store, untagged=untagged, grace_s=grace_s)
        log.info("collected %d files, %d bytes", found.files, found.bytes)
        return found

    async def expire_for_ever(self) -> None:
        """Remove abandoned uploads, now and every hour."""
        while True:
            async with self.gate.shared():
                count = self.uploads.expire()
            if count:
                log.info("removed %d abandoned uploads", count)
            await asyncio.sleep(_EXPIRE_EVERY_S)
