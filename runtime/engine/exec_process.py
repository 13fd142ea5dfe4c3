"""Start a program in a running container, which is joined by its pidfd."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from runtime.engine import launch
from runtime.engine.errors import ContainerStateError, EngineError
from runtime.engine.prepare import Prepared, exec_process, prepare_exec
from runtime.engine.reaper import Child, Process
from runtime.engine.timed_calls import returns
from runtime.oci.exec_plan import make_exec_plan
from runtime.spawn import namespaces, process, terminal
from runtime.spawn.cgroups import Cgroup
from runtime.spawn.linux import AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, PR_SET_DUMPABLE
from runtime.spawn.mounts import add_open
from runtime.spawn.tape import Paused, Result, Slot, SlotValue, Spawned, Tape, spawn

if TYPE_CHECKING:
    from runtime.engine.resources import EngineResources


T = TypeVar("T")
_ANSWER_S = 2.0


class ExecOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an exec may change; None is the container's own."""

    env: tuple[str, ...] | None = None
    cwd: str | None = None
    user: str | None = None
    caps: tuple[str, ...] | None = None
    tty: bool = False
    size: tuple[int, int] | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The container to join."""

    resources: EngineResources
    prepared: Prepared
    child: Child
    group: Cgroup | None


def join(target: Target, argv: tuple[str, ...], stdio: Sequence[int], options: ExecOptions) -> Process:
    """Start `argv` in the container and return it. Raises StepError, OSError, ContainerStateError."""
    # The kernel lets no process that shares its memory enter a time namespace.
    sharing = "time" not in target.prepared.config.namespaces
    launched = functools.partial(spawn, share_memory=sharing)
    spawned, tty_fd = _join(target, argv, stdio, options, launched)
    return Process(*spawned, tty_fd)


def begin_join(
    target: Target, argv: tuple[str, ...], stdio: Sequence[int], options: ExecOptions
) -> tuple[Paused, Callable[[Callable[[], Spawned]], Process]]:
    """Like join(), without waiting for the execve; also return a function from its result to the Process."""
    paused, tty_fd = _join(target, argv, stdio, options, Paused)

    def made(finish: Callable[[], Spawned]) -> Process:
        try:
            return Process(*finish(), tty_fd)
        except BaseException:
            if tty_fd >= 0:
                os.close(tty_fd)
            raise

    return paused, made


def _join(
    target: Target,
    argv: tuple[str, ...],
    stdio: Sequence[int],
    options: ExecOptions,
    launched: Callable[[Tape, dict[str, SlotValue], int, int | None], T],
) -> tuple[T, int]:
    """Lay out the tape and launch it; return that, and the host's end of the terminal or -1."""
    if target.child.poll() is not None:
        raise ContainerStateError("the container has ended; nothing can be started in it any more")
    prepared = target.prepared
    env = prepared.env if options.env is None else options.env
    paths = process.search_path(argv[0], env)
    run = exec_process(prepared, cwd=options.cwd, user=options.user, tty=options.tty, caps=options.caps)
    joins = len(target.resources.join_slots) if target.group is not None else 0
    with contextlib.closing(launch.OpenFds()) as fds:
        tty_fd = -1
        if options.tty:
            tty_fd, peer = _open_terminal(target.child, fds)
            if options.size is not None:
                terminal.resize(tty_fd, *options.size)
            stdio = (fds.keep(peer),) * 3
        try:
            nulls = launch.nulls_of(stdio)
            plan = make_exec_plan(prepare_exec(prepared, run, len(paths), joins, nulls))
            slots = launch.program_slots(argv, env, paths)
            slots.update(launch.stdio_slots(stdio, nulls, fds))
            if "root" in plan.tape.slots:
                path = f"/proc/{target.child.pid}/root"
                slots["root"] = fds.keep(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            if "target" in plan.tape.slots:
                slots["target"] = target.child.pidfd
            return _launch(target, plan.tape, slots, launched), tty_fd
        except BaseException:
            if tty_fd >= 0:
                os.close(tty_fd)
            raise


def _launch(
    target: Target,
    tape: Tape,
    slots: dict[str, SlotValue],
    launched: Callable[[Tape, dict[str, SlotValue], int, int | None], T],
) -> T:
    hide_memory()
    v2_fd = None
    with contextlib.ExitStack() as stack:
        if target.group is not None:
            target.group.open_fds()
            stack.callback(target.group.close_fds)
            v2_fd = target.group.v2_fd
            slots.update(zip(target.resources.join_slots, target.group.join_fds, strict=True))
        if "pid" in target.prepared.config.namespaces:
            own = target.resources.own_pid_namespace_fd
            stack.enter_context(namespaces.children_in_pid_namespace(target.child.pidfd, own))
        return launched(tape, slots, 0, v2_fd)


@functools.cache
def hide_memory() -> None:
    """Make this process undumpable, permanently.

    Until its execve the joining child shares our memory and is visible in the container. Undumpable, only a
    process with CAP_SYS_PTRACE in the host's user namespace can read or write it through /proc/PID/mem or
    reach our executable through /proc/PID/exe (CVE-2019-5736).
    """
    tape = Tape()
    tape.add("hide memory from joined containers", "prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    tape.walk({})


@functools.cache
def _devpts_tape(*, ends: bool = False) -> Tape:
    tape = Tape()
    path = tape.add(
        "open the container's root", "openat", AT_FDCWD, Slot("root"), O_PATH | O_DIRECTORY | O_CLOEXEC, 0
    )
    add_open(tape, Result(path), "/dev/pts", strict=True, flags=O_PATH | O_DIRECTORY)
    if ends:
        tape.add("end", "exit_group", 0)
    return tape


def _open_terminal(child: Child, fds: launch.OpenFds) -> terminal.Terminal:
    """Open a terminal of the container's own devpts, reached without following anything in the container."""
    slots: dict[str, SlotValue] = {"root": f"/proc/{child.pid}/root".encode()}
    if not returns(_devpts_tape(ends=True), slots, _ANSWER_S):
        raise EngineError(
            "open a terminal: what the container has mounted at /dev does not answer; leave out -t"
        )
    root, devpts = _devpts_tape().walk(slots)
    fds.keep(root)
    fds.keep(devpts)
    if child.poll() is not None:
        raise ContainerStateError("the container has ended; nothing can be started in it any more")
    return terminal.open_terminal(devpts)
