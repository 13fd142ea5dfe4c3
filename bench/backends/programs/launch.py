"""Start a program on the host by the same tape (vfork to execve) as a container's.

The steps: new session, CPUs, standard streams, default signals, optionally another mount namespace with one
more mount in it, another root, execve.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from bench.backends.base import BackendError
from bench.backends.programs.processes import HostChild
from runtime.spawn import linux, process
from runtime.spawn.tape import Pointers, Slot, SlotValue, StepError, Tape, pointers, spawn

CPU_SET_BYTES = 128


def start(
    path: str,
    argv: Sequence[str],
    env: Pointers,
    stdio: tuple[int, int, int],
    *,
    cpus: bytes,
    root: str = "/",
    mount_namespace: int = -1,
    overlay: tuple[str, str] | None = None,
    on_kill: Callable[[], None] | None = None,
) -> HostChild:
    """Start `path` (absolute, inside `root`) and return once its execve has succeeded.

    `cpus` is a mask made by `cpu_mask`. `mount_namespace` is a descriptor of the namespace to run in;
    `overlay`, (mount point, options), is mounted there first. BackendError names the step and the errno.
    """
    slots: dict[str, SlotValue] = {
        "fd0": stdio[0],
        "fd1": stdio[1],
        "fd2": stdio[2],
        "cpus": cpus,
        "root": os.fsencode(root) + b"\0",
        "path": os.fsencode(path) + b"\0",
        "argv": pointers(argv),
        "env": env,
    }
    if mount_namespace >= 0:
        slots["mount_namespace"] = mount_namespace
    if overlay is not None:
        slots["overlay_target"], slots["overlay_options"] = (os.fsencode(text) + b"\0" for text in overlay)
    try:
        spawned = spawn(_tape(mount_namespace >= 0, overlay is not None), slots)
    except StepError as error:
        raise BackendError(f"start {argv[0]}: {error}") from error
    return HostChild(spawned.pid, spawned.pidfd, on_kill)


def cpu_mask(cpus: Sequence[int]) -> bytes:
    """Return a cpu_set_t (1024 bits) of `cpus`, or of this process's CPUs if there are none."""
    chosen = cpus or os.sched_getaffinity(0)
    return sum(1 << cpu for cpu in chosen).to_bytes(CPU_SET_BYTES, "little")


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keep the calling thread on `cpus` inside the block, for programs started there to inherit.

    () or the present set changes nothing.
    """
    before = os.sched_getaffinity(0)
    if not cpus or set(cpus) == before:
        yield
        return
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def add_stdio(tape: Tape) -> None:
    """Append the first steps of every program: slots `fd0` to `fd2` as stdio, no other descriptors, default
    signal actions.

    Ignored signals survive execve, and Python ignores SIGPIPE and SIGXFSZ, so these are reset.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        tape.add(f"set {name}", "dup3", Slot(f"fd{number}"), number, 0)
    tape.add("close other descriptors", "close_range", 3, 0xFFFF_FFFF, linux.CLOSE_RANGE_CLOEXEC)
    for number in process.ignored_signals():
        tape.add(f"default action for signal {number}", "rt_sigaction", number, bytes(32), 0, 8)
    tape.add("empty signal mask", "rt_sigprocmask", linux.SIG_SETMASK, bytes(8), 0, 8)


@cache
def _tape(enter: bool, overlay: bool) -> Tape:
    tape = Tape()
    tape.add("new session", "setsid")
    tape.add("set CPUs", "sched_setaffinity", 0, CPU_SET_BYTES, Slot("cpus"))
    add_stdio(tape)
    if enter:
        tape.add("enter the mount namespace", "setns", Slot("mount_namespace"), linux.CLONE_NEWNS)
    if overlay:
        tape.add(
            "mount overlay", "mount", "overlay", Slot("overlay_target"), "overlay", 0, Slot("overlay_options")
        )
    tape.add("enter the root", "chroot", Slot("root"))
    tape.add("go to /", "chdir", "/")
    tape.add("execve", "execve", Slot("path"), Slot("argv"), Slot("env"))
    return tape
