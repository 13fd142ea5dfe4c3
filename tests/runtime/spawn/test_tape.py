from __future__ import annotations

import errno
import os
import re
import select
import struct
import threading
from pathlib import Path

import pytest

from runtime.spawn import _tape
from runtime.spawn.linux import AT_FDCWD, O_CLOEXEC, O_PATH
from runtime.spawn.tape import Slot, StepError, StepKilledError, Tape, pointers, spawn
from tests.descriptors import open_descriptors


def run(tape: Tape, slots: dict, **options: object) -> int:
    child = spawn(tape, slots, **options)
    os.close(child.pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])


def children() -> set[str]:
    return {pid for tasks in Path("/proc/self/task").glob("*/children") for pid in tasks.read_text().split()}


def shell(script: str) -> Tape:
    tape = Tape()
    tape.add("execve", "execve", "/bin/sh", pointers(["sh", "-c", script]), pointers([]))
    return tape


@pytest.mark.parametrize("share_memory", [True, False])
def test_the_exit_status_comes_back(share_memory):
    assert run(shell("exit 7"), {}, share_memory=share_memory) == 7


@pytest.mark.parametrize("share_memory", [True, False])
def test_a_failure_names_step_and_errno(share_memory):
    before = children()
    tape = Tape()
    tape.add("go to the moon", "chdir", "/no/such/place")
    tape.add("execve", "execve", "/bin/true", pointers(["true"]), pointers([]))
    with pytest.raises(StepError, match=r"^go to the moon: ENOENT \(no such file or directory\)$") as caught:
        spawn(tape, {}, share_memory=share_memory)
    assert (caught.value.step, caught.value.errno) == ("go to the moon", errno.ENOENT)
    assert children() == before


def test_a_death_inside_a_step_names_it():
    tape = Tape()
    pid = tape.add("who am I", "getpid")
    tape.add("shoot myself", "kill", pid, 9)
    tape.add("execve", "execve", "/bin/true", pointers(["true"]), pointers([]))
    with pytest.raises(StepKilledError, match=r"^shoot myself: "):
        spawn(tape, {})


def test_a_result_is_an_argument_of_a_later_step(tmp_path):
    tape = Tape()
    directory = tape.add("open", "openat", AT_FDCWD, Slot("path"), O_PATH | O_CLOEXEC, 0)
    tape.add("go there", "fchdir", directory)
    tape.add("execve", "execve", "/bin/sh", pointers(["sh", "-c", "pwd > out"]), pointers([]))
    assert run(tape, {"path": os.fsencode(tmp_path)}) == 0
    assert (tmp_path / "out").read_text() == f"{tmp_path}\n"


def test_a_forgiven_errno_goes_on(tmp_path):
    tape = Tape()
    tape.add("mkdir", "mkdirat", AT_FDCWD, os.fsencode(tmp_path), 0o755, forgive=(errno.EPERM, errno.EEXIST))
    tape.add("execve", "execve", "/nowhere", pointers([]), pointers([]), forgive=(errno.ENOENT,))
    tape.add("execve", "execve", "/bin/sh", pointers(["sh", "-c", "exit 3"]), pointers([]))
    assert run(tape, {}) == 3


def test_a_tape_is_a_template_that_many_threads_fill_in():
    tape = Tape()
    tape.add("execve", "execve", "/bin/sh", Slot("argv"), pointers([]))
    codes: list[int] = []

    def start(code: int) -> None:
        codes.append(run(tape, {"argv": pointers(["sh", "-c", f"exit {code}"])}))

    threads = [threading.Thread(target=start, args=(code,)) for code in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == list(range(8))


@pytest.mark.parametrize("slots", [{}, {"path": b"/", "more": 1}])
def test_slots_must_fit(slots):
    tape = Tape()
    tape.add("go", "chdir", Slot("path"))
    with pytest.raises(TypeError, match=re.escape(str(sorted(slots)))):
        tape.walk(slots)


def test_the_last_step_must_be_an_execve():
    tape = Tape()
    tape.add("who am I", "getpid")
    with pytest.raises(ValueError, match="execve"):
        spawn(tape, {})


def test_walk_returns_all_results():
    tape = Tape()
    tape.add("pid", "getpid")
    tape.add("again", "getpid")
    assert tape.walk({}) == [os.getpid()] * 2


def test_a_failed_walk_closes_what_it_opened(tmp_path):
    tape = Tape()
    directory = tape.add("open", "openat", AT_FDCWD, os.fsencode(tmp_path), O_PATH | O_CLOEXEC, 0)
    tape.add("open what is not there", "openat", directory, "nothing", O_CLOEXEC, 0)
    before = open_descriptors()
    with pytest.raises(StepError, match=r"^open what is not there: ENOENT"):
        tape.walk({})
    assert open_descriptors() <= before


@pytest.mark.parametrize("buffer", [bytearray(), bytearray(63), bytearray(64)])
def test_what_is_not_a_tape_is_refused(buffer):
    with pytest.raises(ValueError, match=r"\btape\b"):
        _tape.walk(buffer)


@pytest.mark.parametrize("release_gil", [True, False])
def test_other_threads_run_meanwhile_only_when_the_gil_is_released(release_gil):
    """The child calls, and waits for what another thread answers: for long only where an answer comes."""
    called, answered = os.pipe(), os.pipe()
    os.set_blocking(answered[0], False)
    thread = threading.Thread(target=lambda: os.write(answered[1], os.read(called[0], 1)))
    thread.start()
    patience = struct.pack("<qq", 60, 0) if release_gil else struct.pack("<qq", 0, 50_000_000)
    tape = Tape()
    tape.add("call", "write", called[1], b".", 1)
    asked = struct.pack("<ihh", answered[0], select.POLLIN, 0)
    tape.add("wait", "ppoll", bytearray(asked), 1, bytearray(patience), 0, 0)
    tape.add("take the answer", "read", answered[0], tape.room(1), 1)
    tape.add("execve", "execve", "/bin/true", pointers(["true"]), pointers([]))
    if release_gil:
        assert run(tape, {}, release_gil=True) == 0
    else:
        with pytest.raises(StepError, match=r"^take the answer: EAGAIN"):
            spawn(tape, {}, release_gil=False)
    thread.join()
    for fd in (*called, *answered):
        os.close(fd)
