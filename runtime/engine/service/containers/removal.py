"""Remove a container, and release what a run of it held."""

from __future__ import annotations

import asyncio
import logging

from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.records.waiters import Ended

log = logging.getLogger(__name__)


class Remover:
    """Removes containers. Called with the container's lock held."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._table = parts, parts.table

    async def give_back(self, entry: ContainerEntry) -> None:
        """Free the addresses, names and volumes of a run that is over. Idempotent."""
        parts, record = self._parts, entry.record
        await parts.networks.release(record)
        if entry.volumes_held:
            entry.volumes_held = False
            names = _volumes(record)
            if names:
                await asyncio.to_thread(self._unmount, names)

    def _unmount(self, names: list[str]) -> None:
        for name in names:
            try:
                self._parts.volumes.unmount(name)
            except Exception as error:  # the container has ended, whatever its volume does
                log.warning("unmount volume %s: %s", name, error)

    def publish_mounts(self, record: ContainerRecord, action: str) -> None:
        """Publish that a container's volumes were mounted or unmounted."""
        for point in record.mounts:
            if point.type == "volume":
                attributes = {"driver": "local", "container": record.id}
                if action == "mount":
                    attributes |= {
                        "destination": point.destination,
                        "propagation": point.propagation,
                        "read/write": str(not point.read_only).lower(),
                    }
                self._parts.events.publish("volume", action, point.name, attributes)

    async def remove(self, entry: ContainerEntry, *, volumes: bool) -> asyncio.Task[None]:
        """Remove a container that does not run, with its anonymous volumes if asked.

        Returns the task that frees its disk space. Raises EngineError; the container is then still there.
        """
        table, parts = self._table, self._parts
        record = entry.record
        await self.give_back(entry)
        if volumes:
            await self._remove_volumes(record)
        gone = table.store.remove(entry.id)
        table.drop(entry)
        parts.execs.forget(entry.id)
        await parts.streams.discard(entry.id)
        table.publish(record, "destroy")
        entry.waiters.removed(Ended(record.state.exit_code))
        return table.in_thread(table.store.clear, gone)

    async def _remove_volumes(self, record: ContainerRecord) -> None:
        for point in record.mounts:
            if point.type == "volume" and point.anonymous and not self._is_shared(record, point.name):
                try:
                    await asyncio.to_thread(self._parts.volumes.remove, point.name)
                except Exception as error:  # it may be gone already
                    log.info("remove volume %s: %s", point.name, error)
                else:
                    self._parts.events.publish("volume", "destroy", point.name, {"driver": "local"})

    def _is_shared(self, record: ContainerRecord, name: str) -> bool:
        return any(name in _volumes(other.record) for other in self._table if other.id != record.id)


def _volumes(record: ContainerRecord) -> list[str]:
    return [point.name for point in record.mounts if point.type == "volume"]
