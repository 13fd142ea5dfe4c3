"""A daemon's beginning: what an earlier one left on disk and in the spawner is brought together again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.service.containers import health, oom
from runtime.engine.service.containers.ending import Ending, is_told
from runtime.engine.service.containers.removing import Remover
from runtime.engine.service.containers.starting import Starter
from runtime.engine.service.containers.table import Member, Members
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.restart import wants_start
from runtime.engine.spawner.protocol import MAIN, Running

log = logging.getLogger(__name__)


class Adoption:
    """Used once, before anybody else asks for a container.

    What runs goes on; what has ended meanwhile is brought to its end; what was lost with its spawner counts
    as killed; what is half-made, was to go with its end, or was in the middle of a build is removed; what a
    restart policy wants is started.
    """

    def __init__(self, members: Members, starter: Starter, ending: Ending, remover: Remover) -> None:
        self._members, self._starter = members, starter
        self._ending, self._remover = ending, remover
        self._cut_off: list[Member] = []

    async def take_up(self) -> None:
        """Read all records and bring each together with what the spawner holds."""
        members, spawner = self._members, self._members.service.spawner
        for record in await asyncio.to_thread(members.store.load):
            self._add(record)
        held = {one.id: one for one in spawner.running if one.exec_id == MAIN}
        for one in held.values():
            if members.by_id(one.id) is None:
                await self._discard(one.id)
        for member in members:
            await self._guard(member, self._reconcile(member, held.get(member.id)))
        await self._take_up_execs([one for one in spawner.running if one.exec_id != MAIN])

    def _add(self, record: ContainerRecord) -> None:
        try:
            self._members.add(record)
        except ConflictError:
            log.error("container %s: its name %s is taken; it gets its id as name", record.id, record.name)
            self._members.add(msgspec.structs.replace(record, name=record.id[:12]))

    async def _discard(self, id: str) -> None:  # noqa: A002
        """End what no record knows of: a daemon died in the middle of its start or its removal."""
        try:
            await self._members.service.spawner.kill_all(id)
            await self._members.service.spawner.release(id)
        except EngineError as error:
            log.warning("free container %s, of which no record tells: %s", id, error)

    async def _reconcile(self, member: Member, held: Running | None) -> None:
        state = member.record.state
        if member.record.of_build and (state.running or state.status == "created"):
            self._cut_off.append(member)
            if held is not None:
                await self._discard(member.id)
                held = None
        if held is None:
            if state.running:
                await self._ending.lost(member)
            return
        if held.exited is not None and is_told(member.record, held.exited):
            await self._members.service.spawner.release(member.id)
            return
        if not state.running:  # its start was never answered, so it did not take place
            await self._discard(member.id)
            return
        await self._go_on(member, held)
        if held.exited is not None:
            await self._ending.finish(member, held.exited)

    async def _go_on(self, member: Member, held: Running) -> None:
        """Take a container's run up where the last daemon left it."""
        members, service = self._members, self._members.service
        status = "paused" if held.paused else "running"
        members.set_state(member, status=status, pid=held.pid, ports=held.ports)
        service.streams.adopt(member.id, await service.spawner.streams(member.id))
        await service.networks.started(member.record)
        names = [point.name for point in member.record.mounts if point.type == "volume"]
        if names:
            await asyncio.to_thread(self._mount, names)
        member.held = True
        health.monitor(members, member)
        oom.watch(members, member)

    def _mount(self, names: Sequence[str]) -> None:
        """Count a running container among its volumes' users once more."""
        for name in names:
            self._members.service.volumes.mount(name)

    async def _take_up_execs(self, running: Sequence[Running]) -> None:
        service = self._members.service
        for one in running:
            member = self._members.by_id(one.id)
            if member is None or not member.record.state.running or one.exited is not None:
                await service.spawner.release(one.id, one.exec_id)
            else:
                service.execs.adopt(one)

    # ---- what policies want ---------------------------------------------------------------------------

    async def apply_policies(self) -> None:
        """Remove what goes with its end, and start what is to run; who joins another one comes after it."""
        idle = [member for member in self._members if not member.record.state.running]
        for member in idle:
            if member.record.host_config.auto_remove or member in self._cut_off:
                await self._guard(member, self._remove(member))
        begins = not self._members.service.private
        wanted = [one for one in idle if begins and self._members.holds(one) and _wants_start(one)]
        for joins in (False, True):
            wave = [member for member in wanted if bool(namespace_modes.partners(member.record)) == joins]
            await asyncio.gather(*(self._guard(one, self._start(one)) for one in wave))
        for member in idle:
            if member.record.state.status == "restarting":
                self._members.set_state(member, status="exited")

    async def _remove(self, member: Member) -> None:
        async with member.lock:
            await self._remover.remove(member, volumes=True)

    async def _start(self, member: Member) -> None:
        async with member.lock:
            if not member.record.state.running:
                await self._starter.start(member, by_policy=True)

    async def _guard(self, member: Member, work: Coroutine[Any, Any, None]) -> None:
        """One container that cannot be taken up must not keep the daemon from its others."""
        try:
            await work
        except Exception:
            log.exception("take up container %s", member.id)


def _wants_start(member: Member) -> bool:
    record = member.record
    if record.state.status == "restarting":
        return True
    return wants_start(
        record.host_config.restart_policy,
        was_started=bool(record.state.started_at),
        exit_code=record.state.exit_code,
        manually_stopped=record.state.manually_stopped,
    )
