"""The plan of an exec: join a running container's namespaces and cgroups, drop privileges, execute."""

from __future__ import annotations

import functools

import msgspec

from runtime.oci.plan import Plan
from runtime.oci.program import ProgramShape, add_program
from runtime.oci.spec import NamespaceType, Process
from runtime.spawn import apparmor, mounts, namespaces, process, terminal
from runtime.spawn.linux import AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH
from runtime.spawn.tape import Slot, Tape


class ExecShape(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the steps of an exec. `run` has no args and env, which are slots.

    namespaces: the container's own, joined through the pidfd in slot `target`. The pid namespace is not among
    the steps: the parent's thread enters it before the clone.
    """

    run: Process
    namespaces: tuple[NamespaceType, ...]
    joins: int = 0
    program: ProgramShape = ProgramShape()


@functools.lru_cache(maxsize=256)
def make_exec_plan(shape: ExecShape) -> Plan:
    """Return the plan of `shape`."""
    tape = Tape()
    attribute = apparmor.add_open(tape) if shape.run.apparmor_profile else None
    process.add_stdio(tape, shape.program.nulls)
    for number in range(shape.joins):
        tape.add(f"join cgroup {number}", "write", Slot(f"cgroup{number}"), b"0", 1)
    flags = sum(namespaces.FLAGS[name] for name in shape.namespaces if name != "pid")
    if flags:
        tape.add("join the container's namespaces", "setns", Slot("target"), flags)
    tape.add("new session", "setsid")
    if shape.run.terminal:
        terminal.add_controlling(tape)
    process.add_null_stdio(tape, shape.program.nulls)
    if "mount" in shape.namespaces:
        root = tape.add("open /", "openat", AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
    else:
        root = mounts.add_enter_chroot(tape)
    add_program(tape, shape.run, root, shape.program, attribute)
    return Plan(tape, 0)
