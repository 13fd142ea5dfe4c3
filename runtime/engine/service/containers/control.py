"""What clients do to a container that is there: stop, restart, kill, pause, rename, update, remove."""

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
from runtime.engine.service.containers.names import check_name
from runtime.engine.service.containers.removing import Remover
from runtime.engine.service.containers.starting import Starter, cancel_restart
from runtime.engine.service.containers.table import Member, Members
from runtime.engine.service.containers.waits import Ended
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.model.consoles import console_size
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import HostConfig, UpdateRequest
from runtime.engine.service.model.signals import number_of
from runtime.engine.service.networks.links import parse_link
from runtime.engine.service.rules.limits import check_resources, limits_of, merge_resources
from runtime.engine.service.rules.restart import check_policy

GRACE_S = 10
_KILL_PATIENCE_S = 12.0
"""As dockerd has it."""
_TURN_S, _GIVE_UP_S = 30.0, 5.0
"""How long what was begun with a container is waited for, and after which of it a start is given up."""


class Control:
    """Each method takes the container's lock for the change it makes, and waits for an end without it."""

    def __init__(self, members: Members, starter: Starter, remover: Remover) -> None:
        self._members, self._starter, self._remover = members, starter, remover

    async def start(self, member: Member) -> None:
        """Start it."""
        async with member.lock:
            await self._starter.start(member)

    # ---- ending it ------------------------------------------------------------------------------------

    async def stop(self, member: Member, timeout: int | None, text: str | None) -> None:
        """Signal it, and kill it when it has not ended in time; return when it has. NotModifiedError."""
        config = member.record.config
        number = number_of(text or config.stop_signal or "")
        async with self._turn(member):
            self._members.require(member)
            if not self._is_up(member):
                raise NotModifiedError(f"container {member.id} does not run")
            member.stay_down = True
            if self._end_restart(member):
                self._members.publish(member.record, "stop")
                return
            self._members.set_state(member, manually_stopped=not self._members.closing)
            member.stopping = True
            ended = member.waiters.add("not-running")
            await self._signal(member, number)
        if timeout is None:
            timeout = config.stop_timeout if config.stop_timeout is not None else GRACE_S
        if not await _within(ended, None if timeout < 0 else timeout):
            await self._kill_at_once(member, ended)

    async def restart(self, member: Member, timeout: int | None, text: str | None) -> None:
        """Stop it if it runs, and start it. One that goes with its end stays."""
        if self._is_up(member):
            member.by_hand = True
            try:
                with contextlib.suppress(NotModifiedError):  # it ended by itself just now
                    await self.stop(member, timeout, text)
            finally:
                member.by_hand = False
        with contextlib.suppress(NotModifiedError):  # somebody else started it just now
            await self.start(member)
        self._members.publish(member.record, "restart")

    async def kill(self, member: Member, text: str, shown: str) -> None:
        """Send a signal; after SIGKILL return when it has ended. ConflictError when it does not run."""
        number = number_of(text, signal.SIGKILL)
        async with self._turn(member):
            self._members.require(member)
            if not self._is_up(member):
                raise ConflictError(f"cannot kill container: {shown}: container {member.id} is not running")
            stop_signal = member.record.config.stop_signal
            if number == signal.SIGKILL or not stop_signal or number == number_of(stop_signal):
                member.stay_down = True
                if self._end_restart(member):
                    return
            self._members.set_state(member, manually_stopped=True)
            ended = member.waiters.add("not-running") if number == signal.SIGKILL else None
            await self._signal(member, number)
        if ended is not None:
            await self._expect(member, ended)

    async def _kill_at_once(self, member: Member, ended: asyncio.Future[Ended]) -> None:
        """SIGKILL it and wait for its end."""
        async with self._turn(member):
            if not ended.done() and member.record.state.running:
                await self._signal(member, signal.SIGKILL)
        await self._expect(member, ended)

    async def _expect(self, member: Member, ended: asyncio.Future[Ended]) -> None:
        if not await _within(ended, _KILL_PATIENCE_S):
            raise EngineError(
                f"container {member.id} did not exit after SIGKILL: a process of it is stuck in the kernel; "
                "see /proc/PID/stack"
            )

    @contextlib.asynccontextmanager
    async def _turn(self, member: Member, *, force: bool = False) -> AsyncIterator[None]:
        """Take the container's lock, which a start that hangs has. force: give such a start up."""
        await self._take(member, force=force)
        try:
            yield
        finally:
            member.lock.release()

    async def _take(self, member: Member, *, force: bool) -> None:
        if force and not member.record.state.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GIVE_UP_S):
                    await member.lock.acquire()
                    return
            await self._members.service.spawner.release(member.id)
        try:
            async with asyncio.timeout(_TURN_S):
                await member.lock.acquire()
        except TimeoutError:
            raise EngineError(
                f"container {member.id} is busy: what was begun with it does not end, mostly as a file "
                "system does not answer"
            ) from None

    async def _signal(self, member: Member, number: int) -> None:
        """Send a signal and tell so; who is frozen would not notice, so it goes on."""
        await self._members.service.spawner.signal(member.id, number)
        self._members.publish(member.record, "kill", {"signal": str(number)})
        if member.record.state.status == "paused":
            with contextlib.suppress(NotFoundError, ConflictError):  # SIGKILL has ended it, frozen as it was
                await self._thaw(member)

    def _is_up(self, member: Member) -> bool:
        return member.record.state.running or member.record.state.status == "restarting"

    def _end_restart(self, member: Member) -> bool:
        """Let a container that waits for its restart be as it is; say whether it did."""
        if member.record.state.status != "restarting":
            return False
        cancel_restart(member)
        self._members.set_state(member, status="exited", manually_stopped=not self._members.closing)
        return True

    # ---- pausing it -----------------------------------------------------------------------------------

    async def pause(self, member: Member) -> None:
        """Freeze it."""
        async with member.lock:
            self._members.require(member)
            match member.record.state.status:
                case "running":
                    await self._members.service.spawner.pause(member.id)
                    self._members.set_state(member, status="paused")
                    self._members.publish(member.record, "pause")
                case "paused":
                    raise ConflictError(f"Container {member.id} is already paused")
                case "restarting":
                    raise ConflictError(
                        f"Container {member.id} is restarting, wait until the container is running"
                    )
                case _:
                    raise ConflictError(f"container {member.id} is not running")

    async def unpause(self, member: Member) -> None:
        """Let it go on."""
        async with member.lock:
            self._members.require(member)
            if member.record.state.status != "paused":
                raise ConflictError(f"Container {member.id} is not paused")
            await self._thaw(member)

    async def _thaw(self, member: Member) -> None:
        await self._members.service.spawner.unpause(member.id)
        self._members.set_state(member, status="running")
        self._members.publish(member.record, "unpause")

    # ---- changing it ----------------------------------------------------------------------------------

    async def rename(self, member: Member, name: str) -> None:
        """Give it another name."""
        new, members = check_name(name) if name else "", self._members
        if not new:
            raise BadParameterError("Neither old nor new names may be empty")
        async with member.lock:
            members.require(member)
            old = member.record.name
            if new == old:
                raise BadParameterError("Renaming a container with the same name as its current name")
            members.names.rename(member.id, old, new)
            before = member.record
            member.record = msgspec.structs.replace(before, name=new)
            try:
                await asyncio.to_thread(members.store.save, member.record)
            except EngineError:
                members.names.rename(member.id, new, old)
                member.record = msgspec.structs.replace(member.record, name=old)
                raise
            members.publish(member.record, "rename", {"oldName": f"/{old}"})
            members.service.networks.renamed(member.record)

    async def update(self, member: Member, request: UpdateRequest) -> list[str]:
        """Change its limits and its restart policy; return warnings."""
        facts, members = host_facts(), self._members
        async with member.lock:
            members.require(member)
            record = member.record
            host = _updated(record, request)
            warnings = check_resources(host, facts)
            if record.state.running:
                await members.service.spawner.update(member.id, limits_of(host, facts))
            member.record = msgspec.structs.replace(member.record, host_config=host)
            if member.record.state.running and host.memory != record.host_config.memory:
                oom.watch(members, member)
            await asyncio.to_thread(members.store.save, member.record)
            members.publish(member.record, "update")
        return warnings

    async def resize(self, member: Member, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        if not member.record.state.running:
            raise ConflictError(f"container {member.id} is not running")
        await self._members.service.spawner.resize(member.id, *console_size((rows, columns)))
        more = {"height": str(rows), "width": str(columns)}
        self._members.publish(member.record, "resize", more)

    # ---- removing it ----------------------------------------------------------------------------------

    async def unlink(self, ref: str) -> None:
        """Remove a container's old link, `CONTAINER/ALIAS`; both containers stay."""
        parent, _, alias = ref.lstrip("/").rpartition("/")
        if not parent:
            self._members.find(ref)
            raise ConflictError("Conflict, cannot remove the default link name of the container")
        member = self._members.find(parent)
        async with member.lock:
            self._members.require(member)
            host = member.record.host_config
            kept = [text for text in host.links or () if parse_link(text)[1] != alias]
            if len(kept) == len(host.links or ()):
                raise NotFoundError(f"No such link: /{parent}/{alias}")
            host = msgspec.structs.replace(host, links=kept)
            member.record = msgspec.structs.replace(member.record, host_config=host)
            await asyncio.to_thread(self._members.store.save, member.record)

    async def remove(self, member: Member, *, force: bool, volumes: bool) -> None:
        """Remove it; return when its files are gone too."""
        if member.removing:
            raise ConflictError(f"removal of container {member.id} is already in progress")
        self._check_removable(member, force=force)
        member.removing = True
        try:
            while (cleared := await self._remove_if_down(member, force=force, volumes=volumes)) is None:
                self._check_removable(member, force=force)  # a start was under way
                await self._kill_for_removal(member)
        finally:
            member.removing = False
        await cleared

    async def _remove_if_down(
        self, member: Member, *, force: bool, volumes: bool
    ) -> asyncio.Future[None] | None:
        """Remove it, unless it runs or waits for its restart: None. The future: its files are gone."""
        async with self._turn(member, force=force):
            if not self._members.holds(member):
                return _nothing_left()
            if self._is_up(member):
                return None
            return await self._remover.remove(member, volumes=volumes or _is_short_lived(member))

    def _check_removable(self, member: Member, *, force: bool) -> None:
        status = member.record.state.status
        if force or not self._is_up(member):
            return
        name = f'"/{member.record.name}"'
        if status == "paused":
            raise ConflictError(
                f"cannot remove container {name}: container is paused and must be unpaused first"
            )
        raise ConflictError(
            f"cannot remove container {name}: container is {status}: stop the container before removing or "
            "force remove"
        )

    async def _kill_for_removal(self, member: Member) -> None:
        async with self._turn(member):
            member.stay_down = True
            if self._end_restart(member) or not member.record.state.running:
                return
            ended = member.waiters.add("not-running")
            await self._signal(member, signal.SIGKILL)
        await self._expect(member, ended)


def _nothing_left() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


def _is_short_lived(member: Member) -> bool:
    return member.record.host_config.auto_remove


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
