"""Handle a container's exit: update its record, wake its waiters, restart or remove it."""

from __future__ import annotations

import asyncio
import logging
import time

from runtime.docker_syntax import times
from runtime.engine.errors import EngineError, UnavailableError
from runtime.engine.service.containers import oom
from runtime.engine.service.containers.health import unmonitor
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.containers.removal import Remover
from runtime.engine.service.containers.starting import Starter
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.records.waiters import Ended
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.restart import wants_restart
from runtime.engine.spawner.protocol import MAIN, Exited

LOST = 137
"""The exit code of a container whose spawner is gone: it was killed with it."""

log = logging.getLogger(__name__)


class ExitHandler:
    """Handles the exits that the spawner reports."""

    def __init__(self, parts: Parts, starter: Starter, remover: Remover) -> None:
        self._parts, self._table = parts, parts.table
        self._starter, self._remover = starter, remover

    def exited(self, exited: Exited) -> None:
        """Handle an exit: this is the spawner's on_exit."""
        if exited.exec_id != MAIN:
            self._parts.execs.ended(exited)
        else:
            self._table.in_background(self._take(exited))

    async def _take(self, exited: Exited) -> None:
        try:
            entry = self._table.by_id(exited.id)
            if entry is None:
                await self._parts.spawner.release(exited.id)
                return
            async with entry.lock:
                await self.finish(entry, exited)
        except Exception:
            log.exception("container %s has ended, but not all of it could be freed", exited.id)

    async def lost(self, entry: ContainerEntry) -> None:
        """Handle a container's end by the loss of its spawner. Called with its lock held."""
        await self.finish(entry, Exited(id=entry.id, exec_id=MAIN, code=LOST, finished_ns=time.time_ns()))

    async def finish(self, entry: ContainerEntry, exited: Exited) -> None:
        """Handle the exit of a container. Called with its lock held."""
        table, parts = self._table, self._parts
        if not table.holds(entry) or not entry.record.state.running:
            await self._release(entry.id)
            return
        if is_handled(entry.record, exited):  # the end of an earlier run
            return
        unmonitor(entry)
        oom.unwatch(entry)
        if namespace_modes.keeps_processes(entry.record):
            await self._kill_rest(entry.id)
        await parts.streams.drained(entry.id)
        parts.execs.drop_unstarted(entry.id)
        again = self._starts_again(entry, exited)
        goes = entry.record.host_config.auto_remove and not (again or entry.user_restarting)
        missed = not goes or _holds_something(entry.record)
        ran_ns = self._note(entry, exited, again=again, save=not goes)
        if not entry.stopping:
            self._publish_exit(entry, exited, ran_ns)
        entry.waiters.exited(Ended(exited.code))
        freed = table.in_background(self._release(entry.id))
        await self._remover.give_back(entry)
        if missed:
            await freed
        self._remover.publish_mounts(entry.record, "unmount")
        if entry.stopping:
            # Only now: compose takes a `die` long before the answer to stop for an exit by itself.
            entry.stopping = False
            self._publish_exit(entry, exited, ran_ns)
            table.publish(entry.record, "stop")
        entry.waiters.stopped(Ended(exited.code))
        if again:
            entry.backoff = entry.backoff.after(ran_ns)
            entry.restart = table.in_background(self._start_again(entry))
        elif goes and not entry.removing:
            await self._remover.remove(entry, volumes=True)
        await freed

    def _starts_again(self, entry: ContainerEntry, exited: Exited) -> bool:
        state, policy = entry.record.state, entry.record.host_config.restart_policy
        if self._table.closing or self._parts.private or entry.user_restarting or entry.removing:
            return False
        signalled = state.manually_stopped and policy.name == "unless-stopped"
        return wants_restart(
            policy,
            exit_code=exited.code,
            restarts=state.restart_count,
            manually_stopped=entry.no_restart or signalled,
        )

    def _note(self, entry: ContainerEntry, exited: Exited, *, again: bool, save: bool) -> int:
        """Write the exit to the record; return how long the container has run, ns."""
        table, state = self._table, entry.record.state
        finished_ns = exited.finished_ns or time.time_ns()
        ran_ns = max(0, finished_ns - times.ns_of(state.started_at)) if state.started_at else 0
        table.set_state(
            entry,
            save=save,
            status="restarting" if again else "exited",
            pid=0,
            exit_code=exited.code,
            oom_killed=exited.oom_killed or state.oom_killed,
            finished_at=times.text_of(finished_ns),
            restart_count=state.restart_count + again,
            ports=(),
        )
        if exited.oom_killed and not state.oom_killed:  # not published while it ran
            table.publish(entry.record, "oom")
        return ran_ns

    def _publish_exit(self, entry: ContainerEntry, exited: Exited, ran_ns: int) -> None:
        more = {"exitCode": str(exited.code), "execDuration": str(ran_ns // 1_000_000_000)}
        self._table.publish(entry.record, "die", more)

    async def _kill_rest(self, container_id: str) -> None:
        """Kill what outlives the program where it has no pid namespace of its own."""
        try:
            await self._parts.spawner.kill_all(container_id)
        except EngineError as error:
            log.warning("kill the rest of container %s: %s", container_id, error)

    async def _release(self, container_id: str) -> None:
        try:
            await self._parts.spawner.release(container_id)
        except EngineError as error:
            log.warning("free container %s: %s", container_id, error)

    async def _start_again(self, entry: ContainerEntry) -> None:
        again = True
        while again:
            await asyncio.sleep(entry.backoff.wait_ns / 1e9)
            async with entry.lock:
                again = await self._try_again(entry)

    async def _try_again(self, entry: ContainerEntry) -> bool:
        """Restart it by its policy; say whether to try again, as there was no spawner."""
        if entry.record.state.status != "restarting" or not self._table.holds(entry):
            return False
        if self._table.closing:
            self._table.set_state(entry, status="exited")
            return False
        try:
            await self._starter.start(entry, by_policy=True)
        except UnavailableError as error:
            log.warning("restart container %s, which is tried again: %s", entry.id, error)
            entry.restart, entry.backoff = asyncio.current_task(), entry.backoff.after(0)
            self._table.set_state(entry, status="restarting")
            return True
        except Exception as error:  # the record says why; this is not awaited
            log.warning("restart container %s: %s", entry.id, error)
        return False


def _holds_something(record: ContainerRecord) -> bool:
    """Say whether an ended container holds in the spawner what others may need: a port, a process."""
    return bool(record.state.ports) or namespace_modes.keeps_processes(record)


def is_handled(record: ContainerRecord, exited: Exited) -> bool:
    """Say whether this exit is in the record already."""
    return bool(exited.finished_ns) and record.state.finished_at == times.text_of(exited.finished_ns)
