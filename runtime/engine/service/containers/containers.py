"""All containers of a daemon: what a client may do with them. Each method is one thing Docker's API has."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.engine.errors import ConflictError, NotFoundError
from runtime.engine.service.containers import listing, oom
from runtime.engine.service.containers.control import GRACE_S, Control
from runtime.engine.service.containers.create import Creator
from runtime.engine.service.containers.ending import Ending
from runtime.engine.service.containers.health import unmonitor
from runtime.engine.service.containers.recovery import Adoption
from runtime.engine.service.containers.removing import Remover
from runtime.engine.service.containers.starting import Starter, cancel_restart
from runtime.engine.service.containers.table import Member, Members
from runtime.engine.service.containers.waits import Condition, Ended, check_condition, done
from runtime.engine.service.files.disk_usage import bytes_below
from runtime.engine.service.model.filters import Filters
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import CreateRequest, EndpointSettings, UpdateRequest
from runtime.engine.service.networks import links
from runtime.image.errors import ImageError
from runtime.network.model import Port

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

Records = list[ContainerRecord]
Texts = list[str]

__all__ = ["Condition", "Containers", "Ended"]

_MORE_S = 5
"""So long the daemon waits at its end for what was killed, beyond its grace, as dockerd does."""


class Containers:
    """The containers. Used in the loop only. `ref`: a name (with or without `/`), an id, or its unique start.

    Every method raises NotFoundError for an unknown `ref`, and EngineError subclasses besides. What was begun
    is done to its end, even when the caller is cancelled.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._members = members = Members(service)
        remover = Remover(members)
        self._starter = Starter(members, remover)
        self._ending = Ending(members, self._starter, remover)
        self._control = Control(members, self._starter, remover)
        self._creator = Creator(members)
        self._adoption = Adoption(members, self._starter, self._ending, remover)

    # ---- the daemon's own life ------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up what is on disk and in the spawner; start what policies want."""
        await self._adoption.take_up()
        self.listen()
        await self._adoption.apply_policies()

    def listen(self) -> None:
        """Take what the spawner tells of ends from now on."""
        self._service.spawner.on_exit = self._ending.exited

    def running(self) -> Records:
        """Return those that have processes."""
        return [member.record for member in self._members if member.record.state.running]

    async def lost(self, records: Records) -> None:
        """The spawner was lost with these."""
        await asyncio.gather(*(self._lose(record) for record in records))

    async def _lose(self, record: ContainerRecord) -> None:
        member = self._members.by_id(record.id)
        if member is None:
            return
        async with member.lock:
            state = member.record.state
            if state.running and state.started_at == record.state.started_at:
                await self._ending.lost(member)

    async def close(self, *, live_restore: bool) -> None:
        """Start nothing any more; end what runs, unless it is to go on; return when nothing is under way."""
        members = self._members
        members.closing = True
        for member in members:
            unmonitor(member)
            oom.unwatch(member)
            cancel_restart(member)
        if not live_restore:
            await self._stop_all([member for member in members if member.record.state.running])
        await members.finish()

    async def _stop_all(self, running: list[Member]) -> None:
        """Stop all at once; what is over neither in the daemon's time nor in its own, the spawner kills."""
        graces = [_grace_of(one.record) for one in running]
        stops = [
            asyncio.ensure_future(self._control.stop(one, grace, None))
            for one, grace in zip(running, graces, strict=True)
        ]
        given = self._members.service.settings.shutdown_s
        if stops:
            await asyncio.wait(stops, timeout=None if given < 0 else max(given, max(graces) + _MORE_S))
        for stop in stops:
            stop.cancel()
        await asyncio.gather(*stops, return_exceptions=True)

    # ---- looking --------------------------------------------------------------------------------------

    def get(self, ref: str) -> ContainerRecord:
        """Find a container."""
        return self._members.find(ref).record

    def list(
        self,
        *,
        all: bool = False,  # noqa: A002
        limit: int = 0,
        filters: Filters | None = None,
    ) -> Records:
        """Return those that fit, newest first; without `all` and a status filter only the running ones."""
        records = [member.record for member in self._members]
        lookups = listing.Lookups(self.get, self._image_ids)
        return listing.select(records, all=all, limit=limit, filters=filters or {}, lookups=lookups)

    def _image_ids(self, ref: str) -> Iterable[str]:
        """The image of that name and all that were made from it."""
        try:
            found = {self._service.images.find_id(ref)}
        except ImageError:
            return ()
        images = {image.id: image.parent for image in self._service.images.list()}
        before = 0
        while len(found) != before:
            before = len(found)
            found |= {one for one, parent in images.items() if parent in found}
        return found

    def directory(self, id: str) -> Path:  # noqa: A002
        """Return `containers/<id>`: log.json*, layer/u and layer/w, hosts, resolv.conf, hostname."""
        return self._members.store.directory(id)

    def layers(self, id: str) -> tuple[Path, ...]:  # noqa: A002
        """Return the image's layer directories below its own (`layer/u`), lowest first."""
        return self._members.layers(self.get(id))

    def attributes(self, record: ContainerRecord, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what an event of this container carries: labels, image, name, and `more`."""
        return self._members.attributes(record, more)

    def publish(self, record: ContainerRecord, action: str, more: Mapping[str, str] | None = None) -> None:
        """Publish an event of this container."""
        self._members.publish(record, action, more)

    def using_image(self, image_id: str) -> Sequence[ContainerRecord]:
        """Return the containers made from an image (its config digest). Any thread may ask."""
        return [member.record for member in self._members if member.record.image_id == image_id]

    def using_volume(self, name: str) -> Sequence[ContainerRecord]:
        """Return the containers that have a volume, running or not."""
        records = (member.record for member in self._members)
        return [one for one in records if any(point.name == name for point in one.mounts)]

    def links_of(self, record: ContainerRecord) -> Texts | None:
        """Return a container's old links, `/db:/web/alias`."""
        return links.shown(record, self.get)

    def names_by_links(self) -> dict[str, Texts]:
        """Return id → the names that a container has by others' old links, `/web/alias`."""
        return links.names_by_links((member.record for member in self._members), self.get)

    def counts(self) -> Counter[str]:
        """Return how many containers there are by status."""
        return Counter(member.record.state.status for member in self._members)

    # ---- life -----------------------------------------------------------------------------------------

    async def create(
        self,
        name: str | None,
        request: CreateRequest,
        *,
        platform: str = "",
        of_build: bool = False,
        shallow: bool = False,
    ) -> tuple[str, Texts]:
        """Make a container of a request; return its id and warnings. of_build: as a record has it.

        platform: `os/architecture` that the image must be for, "" for any.
        shallow: read-only binds are not read-only in what is mounted below their source.
        """
        creation = self._creator.create(name, request, platform=platform, of_build=of_build, shallow=shallow)
        return await self._members.carry_out(creation)

    async def start(self, ref: str) -> None:
        """Start it. NotModifiedError when it runs; StartFailedError when its program cannot be executed."""
        await self._members.carry_out(self._control.start(self._members.find(ref)))

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Signal it and kill it after `timeout` s (-1: never). NotModifiedError when it does not run."""
        await self._members.carry_out(self._control.stop(self._members.find(ref), timeout, signal))

    async def restart(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop it if it runs, and start it."""
        await self._members.carry_out(self._control.restart(self._members.find(ref), timeout, signal))

    async def kill(self, ref: str, signal: str = "") -> None:
        """Send a signal (`KILL`, `SIGKILL`, `9`); ConflictError when it does not run."""
        await self._members.carry_out(self._control.kill(self._members.find(ref), signal, ref))

    async def pause(self, ref: str) -> None:
        """Freeze it."""
        await self._members.carry_out(self._control.pause(self._members.find(ref)))

    async def unpause(self, ref: str) -> None:
        """Let it go on."""
        await self._members.carry_out(self._control.unpause(self._members.find(ref)))

    def subscribe_wait(self, ref: str, condition: str = "not-running") -> asyncio.Future[Ended]:
        """Return a future of its end, registered already: nothing that happens afterwards is missed."""
        wanted, member = check_condition(condition), self._members.find(ref)
        state = member.record.state
        if wanted == "not-running" and not state.running and state.status != "restarting":
            return done(Ended(state.exit_code))
        return member.waiters.add(wanted)

    async def wait(self, ref: str, condition: str = "not-running") -> Ended:
        """Wait for its end."""
        return await self.subscribe_wait(ref, condition)

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it, with its anonymous volumes when asked; `force` kills it first. link: only that link."""
        if link:
            await self._members.carry_out(self._control.unlink(ref))
            return
        member = self._members.find(ref)
        await self._members.carry_out(self._control.remove(member, force=force, volumes=volumes))

    async def rename(self, ref: str, name: str) -> None:
        """Give it another name."""
        await self._members.carry_out(self._control.rename(self._members.find(ref), name))

    async def update(self, ref: str, request: UpdateRequest) -> Texts:
        """Change limits and the restart policy; return warnings."""
        return await self._members.carry_out(self._control.update(self._members.find(ref), request))

    async def prune(self, filters: Filters | None = None) -> tuple[Texts, int]:
        """Remove all that do not run and fit; return their ids and the bytes that they had written."""
        removed, freed = [], 0
        for record in listing.prunable((one.record for one in self._members), filters or {}):
            size = await asyncio.to_thread(bytes_below, self.directory(record.id) / "layer" / "u")
            try:
                await self.remove(record.id)
            except (NotFoundError, ConflictError):  # somebody removes it, or has just started it
                continue
            removed.append(record.id)
            freed += size
        self._service.events.publish("container", "prune", "", {"reclaimed": str(freed)})
        return removed, freed

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        await self._control.resize(self._members.find(ref), rows, columns)

    @contextlib.asynccontextmanager
    async def held_still(self, ref: str) -> AsyncIterator[ContainerRecord]:
        """Find a container that until the end neither starts nor is over, and give its record."""
        member = self._members.find(ref)
        async with member.lock:
            self._members.require(member)
            yield member.record

    async def set_networks(self, id: str, networks: dict[str, EndpointSettings]) -> ContainerRecord:  # noqa: A002
        """Replace what a container has of networks (connect and disconnect) and keep it on disk."""
        member = self._members.find(id)
        member.record = msgspec.structs.replace(member.record, networks=networks)
        self._members.store.save_state(member.record)
        await asyncio.to_thread(self._members.store.sync_state, member.id)
        return member.record

    def set_ports(self, id: str, ports: tuple[Port, ...] | None) -> None:  # noqa: A002
        """Note by which ports a container is reached since it changed networks; None: as before."""
        member = self._members.by_id(id)
        running = member is not None and member.record.state.running
        if member and running and ports is not None and ports != member.record.state.ports:
            self._members.set_state(member, ports=ports)


def _grace_of(record: ContainerRecord) -> int:
    """How long a container has to stop when the daemon does: no longer than usual where it has no limit."""
    wanted = record.config.stop_timeout
    return GRACE_S if wanted is None or wanted < 0 else wanted
