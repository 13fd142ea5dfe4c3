"""Release, pause, and the spawner's own end: all that waits for processes, done without blocking."""

from __future__ import annotations

import time
from collections.abc import Callable

from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.spawner.framing import close_all
from runtime.engine.spawner.protocol import MAIN
from runtime.engine.spawner.running import RunningContainer
from runtime.engine.spawner.state import SpawnerState
from runtime.spawn.cgroups import CgroupError

Finish = Callable[[BaseException | None], None]
_PATIENCE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LATE_PAUSE_S = 0.0005, 0.02, 1.0
_INSIST_S = 0.25


def until(
    state: SpawnerState,
    attempt: Callable[[], bool],
    finish: Finish,
    late: Callable[[], EngineError],
    *,
    in_the_end: Callable[[], None] | None = None,
) -> None:
    """Try now and, with pauses, for 10 s; finish(None) once `attempt` is True, finish(late()) when it is not.

    What attempt raises goes to finish too. in_the_end: go on trying after 10 s, and call this on success.
    """
    deadline = time.monotonic() + _PATIENCE_S

    def go(pause: float) -> None:
        try:
            done = attempt()
        except Exception as error:
            finish(error)
            return
        if done:
            finish(None)
        elif time.monotonic() > deadline:
            finish(late())
            if in_the_end is not None:
                _go_on(state, attempt, in_the_end)
        else:
            state.loop.later(pause, lambda: go(min(2 * pause, _LONGEST_PAUSE_S)))

    go(_FIRST_PAUSE_S)


def _go_on(state: SpawnerState, attempt: Callable[[], bool], done: Callable[[], None]) -> None:
    def go() -> None:
        if attempt():
            done()
        else:
            state.loop.later(_LATE_PAUSE_S, go)

    state.loop.later(_LATE_PAUSE_S, go)


def insist(state: SpawnerState, running: RunningContainer, pause: float = _INSIST_S) -> None:
    """A container's program gets a SIGKILL: kill all there is if it goes on.

    A tracer that it has inside lets it stop where it would exit, until that one is killed, too.
    """

    def look() -> None:
        if state.containers.get(running.id) is running and running.main.exited is None:
            if running.container.group is not None:
                running.container.group.kill_now()
            if pause < _PATIENCE_S:
                insist(state, running, 2 * pause)

    state.loop.later(pause, look)


def release(state: SpawnerState, container_id: str, exec_id: str, finish: Finish) -> None:
    """Free a container, or the streams of an exec that has ended. Unknown ids are freed already."""
    running = state.containers.get(container_id)
    if (container_id, exec_id) in state.starting:
        state.starting[container_id, exec_id].kill()  # its start fails
        finish(None)
    elif running is None:
        finish(None)
    elif exec_id != MAIN:
        finish(_release_exec(running, exec_id))
    else:
        for (of, _), pending in state.starting.items():
            if of == container_id:
                pending.kill()
        until(
            state,
            lambda: _free(state, running),
            finish,
            lambda: _stuck(running),
            in_the_end=lambda: close_all(running.give_mounts()),
        )


def _release_exec(running: RunningContainer, exec_id: str) -> EngineError | None:
    program = running.execs.get(exec_id)
    if program is None:
        return None
    if program.exited is None:
        return ConflictError(f"release exec {exec_id}: it is running; wait for its end")
    program.streams.close()
    del running.execs[exec_id]
    return None


def _free(state: SpawnerState, running: RunningContainer) -> bool:
    """Kill what is left, and free the container once nothing is; say whether that is so."""
    if state.containers.get(running.id) is not running:  # by another release
        return True
    group = running.container.group
    if group is not None:
        if any(program.exited is None for program in running.programs()) or group.living():
            group.kill_now()
            return False
        try:
            group.remove(patience_s=0.0)
        except CgroupError:  # a process just reaped is leaving for a moment
            return False
    for program in running.programs():
        program.streams.close()
    del state.containers[running.id]
    try:
        if state.has_networks:
            state.networks.release(running.id)
    finally:
        running.container.remove()
    return True


def _stuck(running: RunningContainer) -> EngineError:
    count = len(running.container.group.living()) if running.container.group is not None else 0
    return EngineError(
        f"release {running.id}: {count} processes are stuck in the kernel: see /proc/PID/stack"
    )


def pause(state: SpawnerState, running: RunningContainer, finish: Finish) -> None:
    """Freeze a container; finished when all its processes stand still."""
    group = running.container.group
    if group is None:
        raise ConflictError(f"pause {running.id}: it has no cgroup; start it with one")
    running.paused = True
    group.request_frozen(True)

    def finished(error: BaseException | None) -> None:
        if error is not None:
            unpause(running)
        finish(error)

    until(
        state,
        lambda: group.is_frozen() or running.main.exited is not None,
        finished,
        lambda: EngineError(f"pause {running.id}: some processes do not stop; see /proc/PID/stack"),
    )


def unpause(running: RunningContainer) -> None:
    """Unfreeze a container's processes."""
    if running.container.group is not None:
        running.container.group.request_frozen(False)
    running.paused = False


def end(state: SpawnerState, finish: Finish) -> None:
    """Kill all containers; finished when all are reaped. What is frozen dies too."""

    def attempt() -> bool:
        for pending in state.starting.values():
            pending.kill()
        left = [h for h in state.containers.values() if any(p.exited is None for p in h.programs())]
        for running in left:
            if running.container.group is not None:
                running.container.group.kill_now()
        return not left and not state.starting

    until(
        state, attempt, finish, lambda: EngineError("end the spawner: some processes are stuck in the kernel")
    )
