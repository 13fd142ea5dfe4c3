"""A tape: the system calls of a process between clone3 and execve, prepared and named in advance.

Python decides everything and lays it out as an array; `_tape.c` clones and makes the calls. No Python runs
in the child. A tape is a template: built once per shape of container and spawned many times, with different
*slots*.

    tape = Tape()
    root = tape.add("open /", "openat", AT_FDCWD, "/", O_PATH, 0)
    tape.add("go to /", "fchdir", root)                      # the result of an earlier step
    tape.add("execve", "execve", Slot("path"), Slot("argv"), Slot("env"))
    slots = {"path": b"/bin/true", "argv": pointers(["true"]), "env": pointers([])}
    child = spawn(tape, slots, CLONE_NEWPID)

A failure names its step: `mount proc on /proc: EPERM (operation not permitted)`.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from runtime.spawn import _tape
from runtime.spawn.errnos import errno_label
from runtime.spawn.linux import CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP, CLONE_PIDFD, CLONE_VFORK, CLONE_VM
from runtime.spawn.syscalls import number

WORDS = 8
RESULT = 7
UNTOUCHED = 1 << 62
"""The value of a result before its step runs; no system call used here returns it."""

_OPENERS = frozenset({"openat", "openat2", "open_tree", "fsopen", "fsmount", "socket"})
_WORD = 0xFFFF_FFFF_FFFF_FFFF
_END = _WORD
_NEGATIVE = 1 << 63


class StepError(OSError):
    """A step of a tape failed. `step` is its name, `errno` the kernel's answer."""

    def __init__(self, step: str, number: int) -> None:
        self.step = step
        super().__init__(number, f"{step}: {errno_label(number)}")

    def __str__(self) -> str:
        return str(self.strerror)


class StepKilledError(ChildProcessError):
    """The child died inside a step, by a signal: `step` names it, `status` is the wait status."""

    def __init__(self, step: str, status: int) -> None:
        self.step = step
        self.status = status
        super().__init__(f"{step}: the process died in this step, wait status {status:#x}")


class Slot(str):
    """An argument given at spawn time, by name: an int, or bytes that are passed by address."""

    __slots__ = ()


class Result(int):
    """The result of an earlier step (mostly a descriptor) as an argument of a later one."""

    __slots__ = ()


class Pointers(NamedTuple):
    """A NULL-terminated array of C strings; `keep` owns the strings that `array` points to."""

    array: bytes
    keep: tuple[bytes, ...]


class Spawned(NamedTuple):
    """A started process. The caller owns `pidfd`: it must close it and reap the process."""

    pid: int
    pidfd: int


Argument = int | str | bytes | Pointers | Slot | Result
SlotValue = int | bytes | bytearray | Pointers


def pointers(strings: Iterable[str | bytes]) -> Pointers:
    """Lay out `strings` as argv or envp."""
    keep = tuple(map(os.fsencode, strings))
    array = struct.pack(f"{len(keep) + 1}Q", *map(_tape.address, keep), 0)
    return Pointers(array, keep)


class Tape:
    """An array of named system calls. Must not be changed once it was spawned or walked."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.slots: dict[str, list[int]] = {}
        self.first_exec = -1
        self._words: list[int] = []
        self._opens: list[int] = []
        self._keep: list[object] = []
        self._template: bytes | None = None

    def add(self, step: str, call: str, *arguments: Argument, forgive: tuple[int, ...] = ()) -> Result:
        """Append one call under the name `step` and return a handle to its result.

        str and bytes are passed by address (CPython ends every bytes object with a NUL). `forgive` holds up
        to two errnos that count as success (the result is then 0). The last calls are one or more execve.
        """
        index = len(self.steps)
        if self.first_exec < 0 and call in ("execve", "execveat"):
            self.first_exec = index
        if call in _OPENERS:
            self._opens.append(index)
        refs = 0
        row = [0]
        for place, argument in enumerate(arguments):
            if isinstance(argument, Result):
                refs |= 1 << place
                row.append(int(argument))
            else:
                row.append(self._word(argument, index * WORDS + len(row)))
        first, second, *_ = (*forgive, 0, 0)
        row[0] = number(call) | refs << 32 | first << 48 | second << 56
        self._words += row + [0] * (RESULT - len(row)) + [UNTOUCHED]
        self.steps.append(step)
        return Result(index)

    def _word(self, argument: int | str | bytes | Pointers | Slot, where: int) -> int:
        if isinstance(argument, Slot):
            self.slots.setdefault(str(argument), []).append(where)
            return 0
        if isinstance(argument, int):
            return argument & _WORD
        if isinstance(argument, str):
            argument = os.fsencode(argument)
        self._keep.append(argument)
        return _tape.address(argument.array if isinstance(argument, Pointers) else argument)

    def address_of(self, data: bytes) -> int:
        """Return the address of `data`, which lives as long as the tape: for structs that hold pointers."""
        self._keep.append(data)
        return _tape.address(data)

    def room(self, size: int) -> int:
        """Return the address of `size` bytes that a step may write to and nobody reads."""
        room = bytearray(size)
        self._keep.append(room)
        return _tape.address(room)

    def template(self) -> bytes:
        """Return the steps, an end mark, and room for the child's stack."""
        if self._template is None:
            words = [*self._words, _END, *[0] * (WORDS - 1)]
            self._template = struct.pack(f"{len(words)}Q", *words) + bytes(_tape.STACK_BYTES)
        return self._template

    def fill(self, words: memoryview, slots: Mapping[str, SlotValue]) -> None:
        """Write the slots into a private copy of the template. TypeError if one is missing or unknown."""
        if slots.keys() != self.slots.keys():
            raise TypeError(f"slots given: {sorted(slots)}; the tape wants: {sorted(self.slots)}")
        for name, value in slots.items():
            if isinstance(value, Pointers):
                value = value.array
            word = value & _WORD if isinstance(value, int) else _tape.address(value)
            for where in self.slots[name]:
                words[where] = word

    def failure(self, words: memoryview) -> tuple[str, int] | None:
        """Return (step, errno) of the step that failed, (step, 0) of one that did not return, else None."""
        for index, step in enumerate(self.steps):
            result = words[index * WORDS + RESULT]
            if result >= _NEGATIVE:
                return step, (1 << 64) - result
            if result == UNTOUCHED:
                return step, 0
        return None

    def walk(self, slots: Mapping[str, SlotValue]) -> list[int]:
        """Make the calls in the calling thread, and return all results.

        Raises StepError; descriptors that earlier steps had opened are then closed.
        """
        copy = bytearray(self.template()[: -_tape.STACK_BYTES])
        words = memoryview(copy).cast("Q")
        self.fill(words, slots)
        _tape.walk(copy)
        failed = self.failure(words)
        if failed:
            for index in self._opens:
                if words[index * WORDS + RESULT] < UNTOUCHED:
                    os.close(words[index * WORDS + RESULT])
            raise StepError(*failed)
        return [words[i] for i in range(RESULT, len(self._words), WORDS)]


def spawn(
    tape: Tape,
    slots: Mapping[str, SlotValue],
    flags: int = 0,
    cgroup_fd: int | None = None,
    *,
    share_memory: bool = True,
    release_gil: bool = True,
) -> Spawned:
    """Start a process that walks `tape`; return once its last step, the execve, has succeeded.

    slots: a value for each Slot of the tape; bytes are passed by address. flags: CLONE_NEW*. cgroup_fd: a
    directory of the v2 tree to start in. share_memory: the child is a vfork and copies nothing, however large
    the parent. Otherwise it gets a copy of the parent's memory, as setns into a time namespace requires; the
    results stay shared either way. Only the calling thread waits; with release_gil=False the other Python
    threads wait too, which saves up to a switch interval when they are busy.

    Raises StepError, or StepKilledError; the child is then already reaped.
    """
    template = tape.template()
    if share_memory:
        buffer: bytearray | memoryview = bytearray(template)
        flags |= CLONE_VM
    else:
        buffer = memoryview(mmap.mmap(-1, len(template)))
        buffer[:] = template
    words = memoryview(buffer).cast("Q")
    tape.fill(words, slots)
    pid, pidfd = _clone(buffer, flags | CLONE_VFORK, cgroup_fd, release_gil=release_gil)
    if not _reached_execve(tape, words):
        _raise_failure(tape, words, pid, pidfd)
    return Spawned(pid, pidfd)


def _clone(
    buffer: bytearray | memoryview, flags: int, cgroup_fd: int | None, *, release_gil: bool
) -> tuple[int, int]:
    flags |= CLONE_PIDFD | CLONE_CLEAR_SIGHAND
    if cgroup_fd is not None:
        flags |= CLONE_INTO_CGROUP
    pid, pidfd = _tape.spawn(buffer, flags, -1 if cgroup_fd is None else cgroup_fd, release_gil)
    if pid < 0:
        raise StepError("clone3", -pid)
    return pid, pidfd


class Paused:
    """A child that walks its tape while its parent runs on. finish() must be called, once.

    `pid` is available at once, for what only the parent can do for the child (the id maps of a user
    namespace); a step of the tape waits for that. done_fd becomes readable when the execve has succeeded or
    failed. finish() closes it, and the pidfd if the child has failed.
    """

    def __init__(self, tape: Tape, slots: Mapping[str, SlotValue], flags: int, cgroup_fd: int | None) -> None:
        self._tape, self._slots = tape, slots  # the child reads what the slots point to
        self._buffer = bytearray(tape.template())
        self._words = memoryview(self._buffer).cast("Q")
        tape.fill(self._words, slots)
        flags |= CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND
        if cgroup_fd is not None:
            flags |= CLONE_INTO_CGROUP
        self.done_fd, its = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid, self.pidfd = _tape.spawn(
                self._buffer, flags, -1 if cgroup_fd is None else cgroup_fd, True
            )
        finally:
            os.close(its)
        if self.pid < 0:
            os.close(self.done_fd)
            raise StepError("clone3", -self.pid)

    def finish(self) -> Spawned:
        """Wait until the execve has succeeded: the child's end of a close-on-exec pipe closes with it.

        Raises StepError, or StepKilledError; the child is then reaped.
        """
        os.read(self.done_fd, 1)
        os.close(self.done_fd)
        if not _reached_execve(self._tape, self._words):
            _raise_failure(self._tape, self._words, self.pid, self.pidfd)
        return Spawned(self.pid, self.pidfd)


def _reached_execve(tape: Tape, words: memoryview) -> bool:
    """Return whether an execve succeeded: all steps before it did, and it did not return."""
    if tape.first_exec < 0:
        return False
    before = tape.first_exec * WORDS - 1
    if before > 0 and words[before] >= UNTOUCHED:
        return False
    for place in range(before + WORDS, len(tape.steps) * WORDS, WORDS):
        if words[place]:  # 0: a forgiven failure, the next attempt followed
            return bool(words[place] == UNTOUCHED)
    return False


def _raise_failure(tape: Tape, words: memoryview, pid: int, pidfd: int) -> None:
    os.close(pidfd)
    status = os.waitpid(pid, 0)[1]
    failed = tape.failure(words)
    if failed is None:
        raise ValueError("the tape has no execve as its last step; add one")
    if failed[1] == 0:
        raise StepKilledError(failed[0], status)
    raise StepError(*failed)
