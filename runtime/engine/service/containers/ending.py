"""What happens when a container's program has ended: its record, its waiters, its restart or its removal."""

from __future__ import annotations

import asyncio
import logging
import time

from runtime.docker_syntax import times
from runtime.engine.errors import EngineError, UnavailableError
from runtime.engine.service.containers import oom
from runtime.engine.service.containers.health import unmonitor
from runtime.engine.service.containers.removing import Remover
from runtime.engine.service.containers.starting import Starter
from runtime.engine.service.containers.table import Member, Members
from runtime.engine.service.containers.waits import Ended
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.restart import wants_restart
from runtime.engine.spawner.protocol import MAIN, Exited

LOST = 137
"""The exit code of a container whose spawner is gone: it was killed with it."""

log = logging.getLogger(__name__)


class Ending:
    """Takes what the spawner tells of programs that have ended."""

    def __init__(self, members: Members, starter: Starter, remover: Remover) -> None:
        self._members, self._starter, self._remover = members, starter, remover

    def exited(self, exited: Exited) -> None:
        """The spawner's on_exit."""
        if exited.exec_id != MAIN:
            self._members.service.execs.ended(exited)
        else:
            self._members.in_background(self._take(exited))

    async def _take(self, exited: Exited) -> None:
        try:
            member = self._members.by_id(exited.id)
            if member is None:
                await self._members.service.spawner.release(exited.id)
                return
            async with member.lock:
                await self.finish(member, exited)
        except Exception:
            log.exception("container %s has ended, but not all of it could be freed", exited.id)

    async def lost(self, member: Member) -> None:
        """A container's spawner is gone, and the container with it. Called with its lock held."""
        await self.finish(member, Exited(id=member.id, exec_id=MAIN, code=LOST, finished_ns=time.time_ns()))

    async def finish(self, member: Member, exited: Exited) -> None:
        """Bring a container that ran to its end. Called with its lock held."""
        members, service = self._members, self._members.service
        if not members.holds(member) or not member.record.state.running:
            await self._release(member.id)
            return
        if is_told(member.record, exited):  # the end of an earlier run
            return
        unmonitor(member)
        oom.unwatch(member)
        if namespace_modes.keeps_processes(member.record):
            await self._kill_rest(member.id)
        await service.streams.drained(member.id)
        service.execs.drop_unstarted(member.id)
        again = self._starts_again(member, exited)
        goes = member.record.host_config.auto_remove and not (again or member.by_hand)
        missed = not goes or _holds_something(member.record)
        ran_ns = self._note(member, exited, again=again, save=not goes)
        if not member.stopping:
            self._tell(member, exited, ran_ns)
        member.waiters.exited(Ended(exited.code))
        freed = members.in_background(self._release(member.id))
        await self._remover.give_back(member)
        if missed:
            await freed
        self._remover.tell_volumes(member.record, "unmount")
        if member.stopping:
            # Only now: compose, told of it long before stop's answer, takes it for an end by itself.
            member.stopping = False
            self._tell(member, exited, ran_ns)
            members.publish(member.record, "stop")
        member.waiters.stopped(Ended(exited.code))
        if again:
            member.backoff = member.backoff.after(ran_ns)
            member.restart = members.in_background(self._start_again(member))
        elif goes and not member.removing:
            await self._remover.remove(member, volumes=True)
        await freed

    def _starts_again(self, member: Member, exited: Exited) -> bool:
        state, policy = member.record.state, member.record.host_config.restart_policy
        if self._members.closing or self._members.service.private or member.by_hand or member.removing:
            return False
        signalled = state.manually_stopped and policy.name == "unless-stopped"
        return wants_restart(
            policy,
            exit_code=exited.code,
            restarts=state.restart_count,
            manually_stopped=member.stay_down or signalled,
        )

    def _note(self, member: Member, exited: Exited, *, again: bool, save: bool) -> int:
        """Write the end into the record; return how long the container has run, ns."""
        members, state = self._members, member.record.state
        finished_ns = exited.finished_ns or time.time_ns()
        ran_ns = max(0, finished_ns - times.ns_of(state.started_at)) if state.started_at else 0
        members.set_state(
            member,
            save=save,
            status="restarting" if again else "exited",
            pid=0,
            exit_code=exited.code,
            oom_killed=exited.oom_killed or state.oom_killed,
            finished_at=times.text_of(finished_ns),
            restart_count=state.restart_count + again,
            ports=(),
        )
        if exited.oom_killed and not state.oom_killed:  # that was not told while it ran
            members.publish(member.record, "oom")
        return ran_ns

    def _tell(self, member: Member, exited: Exited, ran_ns: int) -> None:
        more = {"exitCode": str(exited.code), "execDuration": str(ran_ns // 1_000_000_000)}
        self._members.publish(member.record, "die", more)

    async def _kill_rest(self, id: str) -> None:  # noqa: A002
        """Without a pid namespace of their own, processes live on: they end with the program here too."""
        try:
            await self._members.service.spawner.kill_all(id)
        except EngineError as error:
            log.warning("kill the rest of container %s: %s", id, error)

    async def _release(self, id: str) -> None:  # noqa: A002
        try:
            await self._members.service.spawner.release(id)
        except EngineError as error:
            log.warning("free container %s: %s", id, error)

    async def _start_again(self, member: Member) -> None:
        again = True
        while again:
            await asyncio.sleep(member.backoff.wait_ns / 1e9)
            async with member.lock:
                again = await self._try_again(member)

    async def _try_again(self, member: Member) -> bool:
        """Start it as its policy wants; say whether it is to wait once more, as there was no spawner."""
        if member.record.state.status != "restarting" or not self._members.holds(member):
            return False
        if self._members.closing:
            self._members.set_state(member, status="exited")
            return False
        try:
            await self._starter.start(member, by_policy=True)
        except UnavailableError as error:
            log.warning("restart container %s, which is tried again: %s", member.id, error)
            member.restart, member.backoff = asyncio.current_task(), member.backoff.after(0)
            self._members.set_state(member, status="restarting")
            return True
        except Exception as error:  # the record says why; nobody awaits this
            log.warning("restart container %s: %s", member.id, error)
        return False


def _holds_something(record: ContainerRecord) -> bool:
    """Say whether somebody could miss what an ended container has in the spawner: a port, a process."""
    return bool(record.state.ports) or namespace_modes.keeps_processes(record)


def is_told(record: ContainerRecord, exited: Exited) -> bool:
    """Say whether a record knows of this end already."""
    return bool(exited.finished_ns) and record.state.finished_at == times.text_of(exited.finished_ns)
