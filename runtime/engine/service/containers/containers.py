"""The containers of a daemon, with one method for each operation of Docker's API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runtime.engine.errors import ConflictError, NotFoundError
from runtime.engine.service.containers import listing, oom
from runtime.engine.service.containers.control import GRACE_S, Control
from runtime.engine.service.containers.create import Creator
from runtime.engine.service.containers.exit_handling import ExitHandler
from runtime.engine.service.containers.health import unmonitor
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.containers.recovery import Recovery
from runtime.engine.service.containers.removal import Remover
from runtime.engine.service.containers.starting import Starter, cancel_restart
from runtime.engine.service.model.filters import Filters
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import CreateRequest, UpdateRequest
from runtime.engine.service.records.store import bytes_below
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.records.waiters import Condition, Ended, check_condition, done
from runtime.engine.service.rules import old_links
from runtime.image.errors import ImageError

Records = list[ContainerRecord]
Texts = list[str]

__all__ = ["Condition", "Containers", "Ended"]

_MORE_S = 5
"""How long the daemon waits at its end, beyond the grace, for killed containers, as dockerd does."""


class Containers:
    """The containers. Used in the loop only. `ref`: a name (with or without `/`), an id, or its unique start.

    Every method raises NotFoundError for an unknown `ref`, and other EngineErrors. An operation that was
    begun is completed, even when the caller is cancelled.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._table = parts, parts.table
        remover = Remover(parts)
        starter = Starter(parts, remover)
        self._exits = ExitHandler(parts, starter, remover)
        self._control = Control(parts, starter, remover)
        self._creator = Creator(parts)
        self._recovery = Recovery(parts, starter, self._exits, remover)

    # ---- the daemon's own life ------------------------------------------------------------------------

    async def open(self) -> None:
        """Recover what is on disk and in the spawner; start what restart policies want."""
        await self._recovery.take_up()
        self.listen()
        await self._recovery.apply_policies()

    def listen(self) -> None:
        """Handle the exits that the spawner reports from now on."""
        self._parts.spawner.on_exit = self._exits.exited

    def running(self) -> Records:
        """Return the running and paused ones."""
        return [entry.record for entry in self._table if entry.record.state.running]

    async def lost(self, records: Records) -> None:
        """Handle the loss of the spawner, with which these have ended."""
        await asyncio.gather(*(self._lose(record) for record in records))

    async def _lose(self, record: ContainerRecord) -> None:
        entry = self._table.by_id(record.id)
        if entry is None:
            return
        async with entry.lock:
            state = entry.record.state
            if state.running and state.started_at == record.state.started_at:
                await self._exits.lost(entry)

    async def close(self, *, live_restore: bool) -> None:
        """Start no container any more; stop all, unless live_restore; return when all work is done."""
        table = self._table
        table.closing = True
        for entry in table:
            unmonitor(entry)
            oom.unwatch(entry)
            cancel_restart(entry)
        if not live_restore:
            await self._stop_all([entry for entry in table if entry.record.state.running])
        await table.finish()

    async def _stop_all(self, running: list[ContainerEntry]) -> None:
        """Stop all at the same time; those that do not end in time are left for the spawner to kill."""
        graces = [_grace_of(entry.record) for entry in running]
        stops = [
            asyncio.ensure_future(self._control.stop(entry, grace, None))
            for entry, grace in zip(running, graces, strict=True)
        ]
        given = self._parts.settings.shutdown_timeout
        if stops:
            await asyncio.wait(stops, timeout=None if given < 0 else max(given, max(graces) + _MORE_S))
        for stop in stops:
            stop.cancel()
        await asyncio.gather(*stops, return_exceptions=True)

    # ---- looking --------------------------------------------------------------------------------------

    def get(self, ref: str) -> ContainerRecord:
        """Find a container."""
        return self._table.get(ref)

    def list(
        self,
        *,
        all: bool = False,  # noqa: A002
        limit: int = 0,
        filters: Filters | None = None,
    ) -> Records:
        """Return those that match, newest first; without `all` and a status filter only the running ones."""
        records = [entry.record for entry in self._table]
        lookups = listing.Lookups(self.get, self._image_ids)
        return listing.select(records, all=all, limit=limit, filters=filters or {}, lookups=lookups)

    def _image_ids(self, ref: str) -> Iterable[str]:
        """Return the image of that name and all that were made from it."""
        try:
            image_ids = {self._parts.images.find_id(ref)}
        except ImageError:
            return ()
        images = {image.id: image.parent for image in self._parts.images.list()}
        before = 0
        while len(image_ids) != before:
            before = len(image_ids)
            image_ids |= {image_id for image_id, parent in images.items() if parent in image_ids}
        return image_ids

    def directory(self, container_id: str) -> Path:
        """Return `containers/<id>`, as ContainerTable.directory."""
        return self._table.directory(container_id)

    def layers(self, container_id: str) -> tuple[Path, ...]:
        """Return the image's layer directories below its own (`layer/u`), lowest first."""
        return self._table.layers(self.get(container_id))

    def publish(self, record: ContainerRecord, action: str, more: Mapping[str, str] | None = None) -> None:
        """Publish an event of this container."""
        self._table.publish(record, action, more)

    def using_volume(self, name: str) -> Sequence[ContainerRecord]:
        """Return the containers that have a volume, running or not."""
        records = (entry.record for entry in self._table)
        return [record for record in records if any(point.name == name for point in record.mounts)]

    def links_of(self, record: ContainerRecord) -> Texts | None:
        """Return a container's old links, `/db:/web/alias`."""
        return old_links.shown(record, self.get)

    def names_by_links(self) -> dict[str, Texts]:
        """Return id → the names that a container has by others' old links, `/web/alias`."""
        return old_links.names_by_links((entry.record for entry in self._table), self.get)

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
        return await self._table.carry_out(creation)

    async def start(self, ref: str) -> None:
        """Start it. NotModifiedError when it runs; StartFailedError when its program cannot be executed."""
        await self._table.carry_out(self._control.start(self._table.find(ref)))

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Signal it and kill it after `timeout` s (-1: never). NotModifiedError when it does not run."""
        await self._table.carry_out(self._control.stop(self._table.find(ref), timeout, signal))

    async def restart(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop it if it runs, and start it."""
        await self._table.carry_out(self._control.restart(self._table.find(ref), timeout, signal))

    async def kill(self, ref: str, signal: str = "") -> None:
        """Send a signal (`KILL`, `SIGKILL`, `9`); ConflictError when it does not run."""
        await self._table.carry_out(self._control.kill(self._table.find(ref), signal, ref))

    async def pause(self, ref: str) -> None:
        """Freeze it."""
        await self._table.carry_out(self._control.pause(self._table.find(ref)))

    async def unpause(self, ref: str) -> None:
        """Unfreeze it."""
        await self._table.carry_out(self._control.unpause(self._table.find(ref)))

    def subscribe_wait(self, ref: str, condition: str = "not-running") -> asyncio.Future[Ended]:
        """Return a future of its end, already registered: nothing that happens afterwards is missed."""
        wanted, entry = check_condition(condition), self._table.find(ref)
        state = entry.record.state
        if wanted == "not-running" and not state.running and state.status != "restarting":
            return done(Ended(state.exit_code))
        return entry.waiters.add(wanted)

    async def wait(self, ref: str, condition: str = "not-running") -> Ended:
        """Wait for its end."""
        return await self.subscribe_wait(ref, condition)

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it, with its anonymous volumes when asked; `force` kills it first. link: only that link."""
        if link:
            await self._table.carry_out(self._control.unlink(ref))
            return
        entry = self._table.find(ref)
        await self._table.carry_out(self._control.remove(entry, force=force, volumes=volumes))

    async def rename(self, ref: str, name: str) -> None:
        """Give it another name."""
        await self._table.carry_out(self._control.rename(self._table.find(ref), name))

    async def update(self, ref: str, request: UpdateRequest) -> Texts:
        """Change limits and the restart policy; return warnings."""
        return await self._table.carry_out(self._control.update(self._table.find(ref), request))

    async def prune(self, filters: Filters | None = None) -> tuple[Texts, int]:
        """Remove all that match and do not run; return their ids and the bytes that they had written."""
        removed, freed = [], 0
        for record in listing.prunable((entry.record for entry in self._table), filters or {}):
            size = await asyncio.to_thread(bytes_below, self.directory(record.id) / "layer" / "u")
            try:
                await self.remove(record.id)
            except (NotFoundError, ConflictError):  # another client removes it, or has just started it
                continue
            removed.append(record.id)
            freed += size
        self._parts.events.publish("container", "prune", "", {"reclaimed": str(freed)})
        return removed, freed

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        await self._control.resize(self._table.find(ref), rows, columns)


def _grace_of(record: ContainerRecord) -> int:
    """Return the grace of a container when the daemon ends: the default where its own is unlimited."""
    wanted = record.config.stop_timeout
    return GRACE_S if wanted is None or wanted < 0 else wanted
