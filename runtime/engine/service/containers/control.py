"""Operations on an existing container: stop, restart, kill, pause, rename, update, remove."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import msgspec

from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    NotFoundError,
    NotModifiedError,
)
from runtime.engine.service.containers import oom
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.containers.removal import Remover
from runtime.engine.service.containers.starting import Starter, cancel_restart
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import HostConfig, UpdateRequest, console_size
from runtime.engine.service.model.signals import number_of
from runtime.engine.service.records.names import check_name
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.records.waiters import Ended
from runtime.engine.service.rules.limits import check_resources, limits_of, merge_resources
from runtime.engine.service.rules.old_links import parse_link
from runtime.engine.service.rules.restart import check_policy

GRACE_S = 10
_KILL_PATIENCE_S = 12.0
"""As dockerd has it."""
_TURN_S, _GIVE_UP_S = 30.0, 5.0
"""How long to wait for another operation on the container; and for its start, before that is given up."""


class Control:
    """Each method takes the container's lock for the change it makes, and waits for an end without it."""

    def __init__(self, parts: Parts, starter: Starter, remover: Remover) -> None:
        self._parts, self._table = parts, parts.table
        self._starter, self._remover = starter, remover

    async def start(self, entry: ContainerEntry) -> None:
        """Start it."""
        async with entry.lock:
            await self._starter.start(entry)

    # ---- ending it ------------------------------------------------------------------------------------

    async def stop(self, entry: ContainerEntry, timeout: int | None, text: str | None) -> None:
        """Signal it, and kill it when it has not ended in time; return when it has. NotModifiedError."""
        config = entry.record.config
        number = number_of(text or config.stop_signal or "")
        async with self._turn(entry):
            self._table.require(entry)
            if not self._is_up(entry):
                raise NotModifiedError(f"container {entry.id} does not run")
            entry.no_restart = True
            if self._end_restart(entry):
                self._table.publish(entry.record, "stop")
                return
            self._table.set_state(entry, manually_stopped=not self._table.closing)
            entry.stopping = True
            ended = entry.waiters.add("not-running")
            await self._signal(entry, number)
        if timeout is None:
            timeout = config.stop_timeout if config.stop_timeout is not None else GRACE_S
        if not await _within(ended, None if timeout < 0 else timeout):
            await self._kill_at_once(entry, ended)

    async def restart(self, entry: ContainerEntry, timeout: int | None, text: str | None) -> None:
        """Stop it if it runs, and start it. One that goes with its end stays."""
        if self._is_up(entry):
            entry.user_restarting = True
            try:
                with contextlib.suppress(NotModifiedError):  # it ended by itself just now
                    await self.stop(entry, timeout, text)
            finally:
                entry.user_restarting = False
        with contextlib.suppress(NotModifiedError):  # another client started it just now
            await self.start(entry)
        self._table.publish(entry.record, "restart")

    async def kill(self, entry: ContainerEntry, text: str, shown: str) -> None:
        """Send a signal; after SIGKILL return when it has ended. ConflictError when it does not run."""
        number = number_of(text, signal.SIGKILL)
        async with self._turn(entry):
            self._table.require(entry)
            if not self._is_up(entry):
                raise ConflictError(f"cannot kill container: {shown}: container {entry.id} is not running")
            stop_signal = entry.record.config.stop_signal
            if number == signal.SIGKILL or not stop_signal or number == number_of(stop_signal):
                entry.no_restart = True
                if self._end_restart(entry):
                    return
            self._table.set_state(entry, manually_stopped=True)
            ended = entry.waiters.add("not-running") if number == signal.SIGKILL else None
            await self._signal(entry, number)
        if ended is not None:
            await self._expect(entry, ended)

    async def _kill_at_once(self, entry: ContainerEntry, ended: asyncio.Future[Ended]) -> None:
        """SIGKILL it and wait for its end."""
        async with self._turn(entry):
            if not ended.done() and entry.record.state.running:
                await self._signal(entry, signal.SIGKILL)
        await self._expect(entry, ended)

    async def _expect(self, entry: ContainerEntry, ended: asyncio.Future[Ended]) -> None:
        if not await _within(ended, _KILL_PATIENCE_S):
            raise EngineError(
                f"container {entry.id} did not exit after SIGKILL: a process of it is stuck in the kernel; "
                "see /proc/PID/stack"
            )

    @contextlib.asynccontextmanager
    async def _turn(self, entry: ContainerEntry, *, force: bool = False) -> AsyncIterator[None]:
        """Take the container's lock, which a hanging start may hold. force: cancel such a start."""
        await self._take(entry, force=force)
        try:
            yield
        finally:
            entry.lock.release()

    async def _take(self, entry: ContainerEntry, *, force: bool) -> None:
        if force and not entry.record.state.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GIVE_UP_S):
                    await entry.lock.acquire()
                    return
            await self._parts.spawner.release(entry.id)
        try:
            async with asyncio.timeout(_TURN_S):
                await entry.lock.acquire()
        except TimeoutError:
            raise EngineError(
                f"container {entry.id} is busy: an earlier operation does not end; often a file system "
                "does not answer"
            ) from None

    async def _signal(self, entry: ContainerEntry, number: int) -> None:
        """Send a signal and publish it; unfreeze a paused container, which would not notice it."""
        await self._parts.spawner.signal(entry.id, number)
        self._table.publish(entry.record, "kill", {"signal": str(number)})
        if entry.record.state.status == "paused":
            with contextlib.suppress(NotFoundError, ConflictError):  # SIGKILL has ended it, frozen as it was
                await self._thaw(entry)

    def _is_up(self, entry: ContainerEntry) -> bool:
        return entry.record.state.running or entry.record.state.status == "restarting"

    def _end_restart(self, entry: ContainerEntry) -> bool:
        """Cancel the restart that a container waits for; say whether it waited for one."""
        if entry.record.state.status != "restarting":
            return False
        cancel_restart(entry)
        self._table.set_state(entry, status="exited", manually_stopped=not self._table.closing)
        return True

    # ---- pausing it -----------------------------------------------------------------------------------

    async def pause(self, entry: ContainerEntry) -> None:
        """Freeze it."""
        async with entry.lock:
            self._table.require(entry)
            match entry.record.state.status:
                case "running":
                    await self._parts.spawner.pause(entry.id)
                    self._table.set_state(entry, status="paused")
                    self._table.publish(entry.record, "pause")
                case "paused":
                    raise ConflictError(f"Container {entry.id} is already paused")
                case "restarting":
                    raise ConflictError(
                        f"Container {entry.id} is restarting, wait until the container is running"
                    )
                case _:
                    raise ConflictError(f"container {entry.id} is not running")

    async def unpause(self, entry: ContainerEntry) -> None:
        """Unfreeze it."""
        async with entry.lock:
            self._table.require(entry)
            if entry.record.state.status != "paused":
                raise ConflictError(f"Container {entry.id} is not paused")
            await self._thaw(entry)

    async def _thaw(self, entry: ContainerEntry) -> None:
        await self._parts.spawner.unpause(entry.id)
        self._table.set_state(entry, status="running")
        self._table.publish(entry.record, "unpause")

    # ---- changing it ----------------------------------------------------------------------------------

    async def rename(self, entry: ContainerEntry, name: str) -> None:
        """Give it another name."""
        new, table = check_name(name) if name else "", self._table
        if not new:
            raise BadParameterError("Neither old nor new names may be empty")
        async with entry.lock:
            table.require(entry)
            old = entry.record.name
            if new == old:
                raise BadParameterError("Renaming a container with the same name as its current name")
            table.names.rename(entry.id, old, new)
            before = entry.record
            entry.record = msgspec.structs.replace(before, name=new)
            try:
                await asyncio.to_thread(table.store.save, entry.record)
            except EngineError:
                table.names.rename(entry.id, new, old)
                entry.record = msgspec.structs.replace(entry.record, name=old)
                raise
            table.publish(entry.record, "rename", {"oldName": f"/{old}"})
            self._parts.networks.renamed(entry.record)

    async def update(self, entry: ContainerEntry, request: UpdateRequest) -> list[str]:
        """Change its limits and its restart policy; return warnings."""
        facts, table = host_facts(), self._table
        async with entry.lock:
            table.require(entry)
            record = entry.record
            host = _updated(record, request)
            warnings = check_resources(host, facts)
            if record.state.running:
                await self._parts.spawner.update(entry.id, limits_of(host, facts))
            entry.record = msgspec.structs.replace(entry.record, host_config=host)
            if entry.record.state.running and host.memory != record.host_config.memory:
                oom.watch(table, entry)
            await asyncio.to_thread(table.store.save, entry.record)
            table.publish(entry.record, "update")
        return warnings

    async def resize(self, entry: ContainerEntry, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        if not entry.record.state.running:
            raise ConflictError(f"container {entry.id} is not running")
        await self._parts.spawner.resize(entry.id, *console_size((rows, columns)))
        more = {"height": str(rows), "width": str(columns)}
        self._table.publish(entry.record, "resize", more)

    # ---- removing it ----------------------------------------------------------------------------------

    async def unlink(self, ref: str) -> None:
        """Remove a container's old link, `CONTAINER/ALIAS`; both containers stay."""
        parent, _, alias = ref.lstrip("/").rpartition("/")
        if not parent:
            self._table.find(ref)
            raise ConflictError("Conflict, cannot remove the default link name of the container")
        entry = self._table.find(parent)
        async with entry.lock:
            self._table.require(entry)
            host = entry.record.host_config
            kept = [text for text in host.links or () if parse_link(text)[1] != alias]
            if len(kept) == len(host.links or ()):
                raise NotFoundError(f"No such link: /{parent}/{alias}")
            host = msgspec.structs.replace(host, links=kept)
            entry.record = msgspec.structs.replace(entry.record, host_config=host)
            await asyncio.to_thread(self._table.store.save, entry.record)

    async def remove(self, entry: ContainerEntry, *, force: bool, volumes: bool) -> None:
        """Remove it; return when its files are gone too."""
        if entry.removing:
            raise ConflictError(f"removal of container {entry.id} is already in progress")
        self._check_removable(entry, force=force)
        entry.removing = True
        try:
            while (cleared := await self._remove_if_down(entry, force=force, volumes=volumes)) is None:
                self._check_removable(entry, force=force)  # a start was under way
                await self._kill_for_removal(entry)
        finally:
            entry.removing = False
        await cleared

    async def _remove_if_down(
        self, entry: ContainerEntry, *, force: bool, volumes: bool
    ) -> asyncio.Future[None] | None:
        """Remove it, unless it runs or waits for its restart: None. The future: its files are gone."""
        async with self._turn(entry, force=force):
            if not self._table.holds(entry):
                return _nothing_left()
            if self._is_up(entry):
                return None
            return await self._remover.remove(entry, volumes=volumes or _auto_remove(entry))

    def _check_removable(self, entry: ContainerEntry, *, force: bool) -> None:
        status = entry.record.state.status
        if force or not self._is_up(entry):
            return
        name = f'"/{entry.record.name}"'
        if status == "paused":
            raise ConflictError(
                f"cannot remove container {name}: container is paused and must be unpaused first"
            )
        raise ConflictError(
            f"cannot remove container {name}: container is {status}: stop the container before removing or "
            "force remove"
        )

    async def _kill_for_removal(self, entry: ContainerEntry) -> None:
        async with self._turn(entry):
            entry.no_restart = True
            if self._end_restart(entry) or not entry.record.state.running:
                return
            ended = entry.waiters.add("not-running")
            await self._signal(entry, signal.SIGKILL)
        await self._expect(entry, ended)


def _nothing_left() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


def _auto_remove(entry: ContainerEntry) -> bool:
    return entry.record.host_config.auto_remove


def _updated(record: ContainerRecord, request: UpdateRequest) -> HostConfig:
    """The HostConfig after an update."""
    host = record.host_config
    try:
        changes = merge_resources(host, request)
    except BadParameterError as error:
        raise BadParameterError(f"Cannot update container {record.id}: {error}") from error
    policy = request.restart_policy
    if policy is not None and policy.name:
        if host.auto_remove:
            raise BadParameterError(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        check_policy(policy, auto_remove=False)
        changes["restart_policy"] = policy
    return msgspec.structs.replace(host, **changes)


async def _within(future: asyncio.Future[Ended], seconds: float | None) -> bool:
    """Wait for a future; say whether it came in time."""
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)
