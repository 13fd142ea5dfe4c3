"""Recover containers when a daemon starts: match the records on disk with what the spawner holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.service.containers import health, oom
from runtime.engine.service.containers.exit_handling import ExitHandler, is_handled
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.containers.removal import Remover
from runtime.engine.service.containers.starting import Starter
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.restart import wants_start
from runtime.engine.spawner.protocol import MAIN, Running

log = logging.getLogger(__name__)


class Recovery:
    """Used once, before anything else uses the containers.

    Those that run go on; the exits of those that have ended are handled; those lost with their spawner count
    as killed. Those that are half-made, that were to be removed at their end, or that belong to an unfinished
    build are removed. Those that a restart policy wants to run are started.
    """

    def __init__(self, parts: Parts, starter: Starter, exits: ExitHandler, remover: Remover) -> None:
        self._parts, self._table = parts, parts.table
        self._starter = starter
        self._exits, self._remover = exits, remover
        self._cut_off: list[ContainerEntry] = []

    async def take_up(self) -> None:
        """Read all records and reconcile each with what the spawner holds."""
        table, spawner = self._table, self._parts.spawner
        for record in await asyncio.to_thread(table.store.load):
            self._add(record)
        held = {program.id: program for program in spawner.running if program.exec_id == MAIN}
        for program in held.values():
            if table.by_id(program.id) is None:
                await self._discard(program.id)
        for entry in table:
            await self._guard(entry, self._reconcile(entry, held.get(entry.id)))
        await self._take_up_execs([program for program in spawner.running if program.exec_id != MAIN])

    def _add(self, record: ContainerRecord) -> None:
        try:
            self._table.add(record)
        except ConflictError:
            log.error("container %s: its name %s is taken; it gets its id as name", record.id, record.name)
            self._table.add(msgspec.structs.replace(record, name=record.id[:12]))

    async def _discard(self, container_id: str) -> None:
        """End a container without a record: a daemon died during its start or its removal."""
        try:
            await self._parts.spawner.kill_all(container_id)
            await self._parts.spawner.release(container_id)
        except EngineError as error:
            log.warning("free container %s, which has no record: %s", container_id, error)

    async def _reconcile(self, entry: ContainerEntry, held: Running | None) -> None:
        state = entry.record.state
        if entry.record.of_build and (state.running or state.status == "created"):
            self._cut_off.append(entry)
            if held is not None:
                await self._discard(entry.id)
                held = None
        if held is None:
            if state.running:
                await self._exits.lost(entry)
            return
        if held.exited is not None and is_handled(entry.record, held.exited):
            await self._parts.spawner.release(entry.id)
            return
        if not state.running:  # its start was never answered, so it does not count
            await self._discard(entry.id)
            return
        await self._go_on(entry, held)
        if held.exited is not None:
            await self._exits.finish(entry, held.exited)

    async def _go_on(self, entry: ContainerEntry, held: Running) -> None:
        """Take over a running container."""
        table, parts = self._table, self._parts
        status = "paused" if held.paused else "running"
        table.set_state(entry, status=status, pid=held.pid, ports=held.ports)
        parts.streams.adopt(entry.id, await parts.spawner.streams(entry.id))
        await parts.networks.started(entry.record)
        names = [point.name for point in entry.record.mounts if point.type == "volume"]
        if names:
            await asyncio.to_thread(self._mount, names)
        entry.volumes_held = True
        health.monitor(parts, entry)
        oom.watch(table, entry)

    def _mount(self, names: Sequence[str]) -> None:
        """Count a running container among its volumes' users once more."""
        for name in names:
            self._parts.volumes.mount(name)

    async def _take_up_execs(self, running: Sequence[Running]) -> None:
        parts = self._parts
        for program in running:
            entry = self._table.by_id(program.id)
            if entry is None or not entry.record.state.running or program.exited is not None:
                await parts.spawner.release(program.id, program.exec_id)
            else:
                parts.execs.adopt(program)

    # ---- what policies want ---------------------------------------------------------------------------

    async def apply_policies(self) -> None:
        """Remove those that go with their end, and start those that are to run, joiners of others last."""
        idle = [entry for entry in self._table if not entry.record.state.running]
        for entry in idle:
            if entry.record.host_config.auto_remove or entry in self._cut_off:
                await self._guard(entry, self._remove(entry))
        begins = not self._parts.private
        wanted = [one for one in idle if begins and self._table.holds(one) and _wants_start(one)]
        for joins in (False, True):
            wave = [entry for entry in wanted if bool(namespace_modes.partners(entry.record)) == joins]
            await asyncio.gather(*(self._guard(one, self._start(one)) for one in wave))
        for entry in idle:
            if entry.record.state.status == "restarting":
                self._table.set_state(entry, status="exited")

    async def _remove(self, entry: ContainerEntry) -> None:
        async with entry.lock:
            await self._remover.remove(entry, volumes=True)

    async def _start(self, entry: ContainerEntry) -> None:
        async with entry.lock:
            if not entry.record.state.running:
                await self._starter.start(entry, by_policy=True)

    async def _guard(self, entry: ContainerEntry, work: Coroutine[Any, Any, None]) -> None:
        """Log a failure: one container that cannot be recovered must not keep the daemon from the others."""
        try:
            await work
        except Exception:
            log.exception("take up container %s", entry.id)


def _wants_start(entry: ContainerEntry) -> bool:
    record = entry.record
    if record.state.status == "restarting":
        return True
    return wants_start(
        record.host_config.restart_policy,
        was_started=bool(record.state.started_at),
        exit_code=record.state.exit_code,
        manually_stopped=record.state.manually_stopped,
    )
