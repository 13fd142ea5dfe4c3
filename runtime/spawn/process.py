"""Steps that set up the process itself: stdio, session, signals, limits, working directory, execve."""

from __future__ import annotations

import errno
import resource
import struct
from pathlib import Path

from runtime.spawn.linux import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLOSE_RANGE_CLOEXEC,
    O_CLOEXEC,
    O_DIRECTORY,
    O_PATH,
    O_RDWR,
    O_WRONLY,
    PR_SET_NO_NEW_PRIVS,
    SIG_SETMASK,
)
from runtime.spawn.mounts import add_directory, add_open
from runtime.spawn.tape import Result, Slot, Tape

SIGKILL, SIGPIPE, SIGSTOP, SIGXFSZ = 9, 13, 19, 25
_KEYCTL_JOIN_SESSION_KEYRING = 1
_STDIO = ("stdin", "stdout", "stderr")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ignored_signals() -> tuple[int, ...]:
    """Return the signals that this process or Python ignores: execve keeps them ignored."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            bits = int(line.split()[1], 16)
            found = {number for number in range(1, 65) if bits >> number - 1 & 1}
            return tuple(sorted((found | {SIGPIPE, SIGXFSZ}) - {SIGKILL, SIGSTOP}))
    return (SIGPIPE, SIGXFSZ)


def add_stdio(tape: Tape, nulls: tuple[int, ...]) -> None:
    """Append setting descriptors 0, 1, 2 to slots `fd0`…`fd2`, which must be 3 or more (dup3(n, n) fails).

    Those in `nulls` are left to add_null_stdio.
    """
    for number, name in enumerate(_STDIO):
        if number not in nulls:
            tape.add(f"set {name}", "dup3", Slot(f"fd{number}"), number, 0)


def add_null_stdio(tape: Tape, nulls: tuple[int, ...]) -> None:
    """Append setting the descriptors `nulls` to the container's own /dev/null.

    Not to the host's: /dev/stdin leads to it, so a chown or chmod in the container would change its node.
    """
    if not nulls:
        return
    null = tape.add("open /dev/null", "openat", AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0)
    for number in nulls:
        tape.add(f"set {_STDIO[number]}", "dup3", null, number, 0)


def add_session_keyring(tape: Tape) -> None:
    """Append joining a new, empty session keyring, so that the program does not hold the engine's keys."""
    absent = (errno.ENOSYS, errno.EDQUOT)
    tape.add("new session keyring", "keyctl", _KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0, forgive=absent)


def add_signals(tape: Tape, ignored: tuple[int, ...]) -> None:
    """Append resetting ignored signals to their default action, and an empty signal mask."""
    zero = bytes(32)
    for number in ignored:
        tape.add(f"default action for signal {number}", "rt_sigaction", number, zero, 0, 8)
    tape.add("empty signal mask", "rt_sigprocmask", SIG_SETMASK, zero, 0, 8)


def add_rlimit(tape: Tape, name: str, soft: int, hard: int) -> None:
    """Append setting a resource limit, such as `RLIMIT_NOFILE`. Raising a hard one needs CAP_SYS_RESOURCE."""
    number = getattr(resource, name)
    limits = struct.pack("<QQ", soft & 0xFFFFFFFFFFFFFFFF, hard & 0xFFFFFFFFFFFFFFFF)
    tape.add(f"set {name} to {soft}:{hard}", "prlimit64", 0, number, limits, 0)


def add_oom_score(tape: Tape, score: int) -> None:
    """Append setting the OOM score adjustment, -1000…1000. Needs /proc, and CAP_SYS_RESOURCE to lower it."""
    fd = tape.add(
        "open oom_score_adj", "openat", AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0
    )
    text = str(score).encode()
    tape.add(f"set oom_score_adj to {score}", "write", fd, text, len(text))


def add_sysctl(tape: Tape, root: Result, name: str, value: str) -> None:
    """Append setting a sysctl of the container's namespaces, in the /proc that this tape has mounted."""
    path = "/proc/sys/" + name.replace(".", "/")
    fd = add_open(tape, root, path, strict=True, flags=O_WRONLY)
    data = value.encode()
    tape.add(f"set sysctl {name} to {value}", "write", fd, data, len(data))


def add_working_directory(tape: Tape, root: Result, path: str, *, make: bool) -> None:
    """Append changing to `path` beneath the container's root, made if missing and `make`.

    It is opened without magic links, so that /proc/self/fd/N cannot lead out (CVE-2024-21626).
    """
    if make and path.strip("/"):
        add_directory(tape, root, path)
    directory = add_open(tape, root, path, flags=O_PATH | O_DIRECTORY)
    tape.add(f"go to working directory {path}", "fchdir", directory)


def add_close_on_exec(tape: Tape) -> None:
    """Append marking all descriptors but 0, 1, 2 close-on-exec: the program inherits no others."""
    tape.add("close other descriptors", "close_range", 3, 0xFFFFFFFF, CLOSE_RANGE_CLOEXEC)


def add_no_new_privileges(tape: Tape) -> None:
    """Append setting no_new_privs: set-user-id files and file capabilities grant nothing any more."""
    tape.add("no_new_privs", "prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def add_execve(tape: Tape, attempts: int) -> None:
    """Append one execve per path to try (slots `path0`…), as execvp does; slots `argv`, `env`."""
    for number in range(attempts):
        absent = () if number == attempts - 1 else (errno.ENOENT, errno.ENOTDIR)
        tape.add("execve", "execve", Slot(f"path{number}"), Slot("argv"), Slot("env"), forgive=absent)


def add_execve_descriptor(tape: Tape) -> None:
    """Append executing the file in slot `init` (a sealed memfd)."""
    tape.add("execve init", "execveat", Slot("init"), "", Slot("argv"), Slot("env"), AT_EMPTY_PATH)


def search_path(program: str, env: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths to try for `program`: itself if it contains a slash, else along PATH of `env`."""
    if "/" in program:
        return (program,)
    path = next((e[5:] for e in env if e.startswith("PATH=")), DEFAULT_PATH)
    return tuple(f"{directory or '.'}/{program}" for directory in path.split(":"))
