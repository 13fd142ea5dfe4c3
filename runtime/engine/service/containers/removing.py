"""A container's removal, and giving back what a run of it had taken."""

from __future__ import annotations

import asyncio
import logging

from runtime.engine.service.containers.table import Member, Members
from runtime.engine.service.containers.waits import Ended
from runtime.engine.service.model.record import ContainerRecord

log = logging.getLogger(__name__)


class Remover:
    """Removes containers. Called with the container's lock held."""

    def __init__(self, members: Members) -> None:
        self._members = members

    async def give_back(self, member: Member) -> None:
        """Free the addresses, names and volumes of a run that is over. Idempotent."""
        service, record = self._members.service, member.record
        await service.networks.release(record)
        if member.held:
            member.held = False
            names = _volumes(record)
            if names:
                await asyncio.to_thread(self._unmount, names)

    def _unmount(self, names: list[str]) -> None:
        for name in names:
            try:
                self._members.service.volumes.unmount(name)
            except Exception as error:  # the container has ended, whatever its volume does
                log.warning("unmount volume %s: %s", name, error)

    def tell_volumes(self, record: ContainerRecord, action: str) -> None:
        """Publish that a container's volumes are mounted, or no more."""
        for point in record.mounts:
            if point.type == "volume":
                attributes = {"driver": "local", "container": record.id}
                if action == "mount":
                    attributes |= {
                        "destination": point.destination,
                        "propagation": point.propagation,
                        "read/write": str(not point.read_only).lower(),
                    }
                self._members.service.events.publish("volume", action, point.name, attributes)

    async def remove(self, member: Member, *, volumes: bool) -> asyncio.Task[None]:
        """Remove a container that does not run, with its anonymous volumes if asked.

        Returns the task that frees its disk space. Raises EngineError; the container is then still there.
        """
        members, service = self._members, self._members.service
        record = member.record
        await self.give_back(member)
        if volumes:
            await self._remove_volumes(record)
        gone = members.store.remove(member.id)
        members.drop(member)
        service.execs.forget(member.id)
        await service.streams.discard(member.id)
        members.publish(record, "destroy")
        member.waiters.removed(Ended(record.state.exit_code))
        return members.in_thread(members.store.clear, gone)

    async def _remove_volumes(self, record: ContainerRecord) -> None:
        for point in record.mounts:
            if point.type == "volume" and point.anonymous and not self._is_shared(record, point.name):
                try:
                    await asyncio.to_thread(self._members.service.volumes.remove, point.name)
                except Exception as error:  # it may be gone already
                    log.info("remove volume %s: %s", point.name, error)
                else:
                    self._members.service.events.publish("volume", "destroy", point.name, {"driver": "local"})

    def _is_shared(self, record: ContainerRecord, name: str) -> bool:
        return any(name in _volumes(other.record) for other in self._members if other.id != record.id)


def _volumes(record: ContainerRecord) -> list[str]:
    return [point.name for point in record.mounts if point.type == "volume"]
