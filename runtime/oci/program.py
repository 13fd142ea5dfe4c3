"""The last steps of every tape: limits, identity, filter, execve, in an order that privileges allow."""

from __future__ import annotations

import msgspec

from runtime.oci.spec import Process
from runtime.spawn import apparmor, capabilities, process, seccomp
from runtime.spawn.tape import Result, Tape


class ProgramShape(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the steps of executing the program.

    nulls: which of descriptors 0, 1, 2 are /dev/null. attempts: number of paths to try (slots `path0`…).
    init: execute the init open in slot `init` instead. ignored_signals: ignored by the parent, to be reset.
    filter: the seccomp filter, if any. makes_directory: create a missing working directory.
    """

    nulls: tuple[int, ...] = ()
    attempts: int = 1
    init: bool = False
    ignored_signals: tuple[int, ...] = (process.SIGPIPE, process.SIGXFSZ)
    filter: seccomp.Filter | None = None
    makes_directory: bool = True


def add_program(
    tape: Tape, run: Process, root: Result, program: ProgramShape, attribute: Result | None = None
) -> None:
    """Append the steps from a finished file system to the running program; slots `argv`, `env`.

    attribute: what apparmor.add_open() gave, for a profile.
    """
    if run.oom_score_adj is not None:
        process.add_oom_score(tape, run.oom_score_adj)
    process.add_working_directory(tape, root, run.cwd, make=program.makes_directory)
    for limit in run.rlimits:  # not earlier, since the steps before open files
        process.add_rlimit(tape, limit.type, limit.soft, limit.hard)
    umask = 0o022 if run.user.umask is None else run.user.umask
    tape.add(f"umask {umask:03o}", "umask", umask)
    process.add_session_keyring(tape)
    process.add_signals(tape, program.ignored_signals)
    process.add_close_on_exec(tape)
    if attribute is not None:
        apparmor.add_enter(tape, attribute, run.apparmor_profile)
    _add_rights(tape, run, program.filter)
    if program.init:
        process.add_execve_descriptor(tape)
    else:
        process.add_execve(tape, program.attempts)


def _add_rights(tape: Tape, run: Process, program: seccomp.Filter | None) -> None:
    """Add identity, capabilities and filter.

    Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before the capabilities are dropped, and
    must allow the calls that drop them, as Docker's does. With it, the filter comes last, before execve.
    """
    if program and not run.no_new_privileges:
        seccomp.add_filter(tape, program)
    if run.capabilities is not None:
        sets = capability_sets(run)
        capabilities.add_bounding(tape, sets)
        capabilities.add_identity(tape, sets, run.user.uid, run.user.gid, run.user.additional_gids)
    if run.no_new_privileges:
        process.add_no_new_privileges(tape)
        if program:
            seccomp.add_filter(tape, program)


def capability_sets(run: Process) -> capabilities.CapabilitySets:
    """Return the five sets of `run` as masks."""
    names = run.capabilities
    if names is None:
        return capabilities.CapabilitySets()
    return capabilities.CapabilitySets(
        bounding=capabilities.mask(names.bounding),
        effective=capabilities.mask(names.effective),
        permitted=capabilities.mask(names.permitted),
        inheritable=capabilities.mask(names.inheritable),
        ambient=capabilities.mask(names.ambient),
    )
