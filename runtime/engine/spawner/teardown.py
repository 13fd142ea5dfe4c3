"""Release, pause and the spawner's own end: what has to wait for processes, without waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.spawner.framing import close_all
from runtime.engine.spawner.protocol import MAIN
from runtime.engine.spawner.running import Held
from runtime.engine.spawner.state import House
from runtime.spawn.cgroups import CgroupError

Finish = Callable[[BaseException | None], None]
_PATIENCE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LATE_PAUSE_S = 0.0005, 0.02, 1.0
_INSIST_S = 0.25


def until(
    house: House,
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
                _go_on(house, attempt, in_the_end)
        else:
            house.loop.later(pause, lambda: go(min(2 * pause, _LONGEST_PAUSE_S)))

    go(_FIRST_PAUSE_S)


def _go_on(house: House, attempt: Callable[[], bool], done: Callable[[], None]) -> None:
    def go() -> None:
        if attempt():
            done()
        else:
            house.loop.later(_LATE_PAUSE_S, go)

    house.loop.later(_LATE_PAUSE_S, go)


def insist(house: House, held: Held, pause: float = _INSIST_S) -> None:
    """A container's program gets a SIGKILL: kill all there is if it goes on.

    A tracer that it has inside lets it stop where it would exit, until that one is killed, too.
    """

    def look() -> None:
        if house.held.get(held.id) is held and held.main.exited is None:
            if held.container.group is not None:
                held.container.group.kill_now()
            if pause < _PATIENCE_S:
                insist(house, held, 2 * pause)

    house.loop.later(pause, look)


def release(house: House, id: str, exec_id: str, finish: Finish) -> None:  # noqa: A002
    """Free a container, or the streams of an exec that has ended. Unknown ids are freed already."""
    held = house.held.get(id)
    if (id, exec_id) in house.beginning:
        house.beginning[id, exec_id].kill()  # its start fails
        finish(None)
    elif held is None:
        finish(None)
    elif exec_id != MAIN:
        finish(_release_exec(held, exec_id))
    else:
        for (of, _), pending in house.beginning.items():
            if of == id:
                pending.kill()
        until(
            house,
            lambda: _free(house, held),
            finish,
            lambda: _stuck(held),
            in_the_end=lambda: close_all(held.give_mounts()),
        )


def _release_exec(held: Held, exec_id: str) -> EngineError | None:
    program = held.execs.get(exec_id)
    if program is None:
        return None
    if program.exited is None:
        return ConflictError(f"release exec {exec_id}: it is running; wait for its end")
    program.streams.close()
    del held.execs[exec_id]
    return None


def _free(house: House, held: Held) -> bool:
    """Kill what is left, and free the container once nothing is; say whether that is so."""
    if house.held.get(held.id) is not held:  # by another release
        return True
    group = held.container.group
    if group is not None:
        if any(program.exited is None for program in held.programs()) or group.living():
            group.kill_now()
            return False
        try:
            group.remove(patience_s=0.0)
        except CgroupError:  # a process just reaped is leaving for a moment
            return False
    for program in held.programs():
        program.streams.close()
    del house.held[held.id]
    try:
        if house.has_networks:
            house.networks.release(held.id)
    finally:
        held.container.remove()
    return True


def _stuck(held: Held) -> EngineError:
    count = len(held.container.group.living()) if held.container.group is not None else 0
    return EngineError(f"release {held.id}: {count} processes are stuck in the kernel: see /proc/PID/stack")


def pause(house: House, held: Held, finish: Finish) -> None:
    """Freeze a container; finished when all its processes stand still."""
    group = held.container.group
    if group is None:
        raise ConflictError(f"pause {held.id}: it has no cgroup; start it with one")
    held.paused = True
    group.request_frozen(True)

    def finished(error: BaseException | None) -> None:
        if error is not None:
            unpause(held)
        finish(error)

    until(
        house,
        lambda: group.is_frozen() or held.main.exited is not None,
        finished,
        lambda: EngineError(f"pause {held.id}: some processes do not stop; see /proc/PID/stack"),
    )


def unpause(held: Held) -> None:
    """Let a container's processes go on."""
    if held.container.group is not None:
        held.container.group.request_frozen(False)
    held.paused = False


def end(house: House, finish: Finish) -> None:
    """Kill all containers; finished when all are reaped. What is frozen dies too."""

    def attempt() -> bool:
        for pending in house.beginning.values():
            pending.kill()
        left = [h for h in house.held.values() if any(p.exited is None for p in h.programs())]
        for held in left:
            if held.container.group is not None:
                held.container.group.kill_now()
        return not left and not house.beginning

    until(
        house, attempt, finish, lambda: EngineError("end the spawner: some processes are stuck in the kernel")
    )
