"""Find the living spawner of a root, or start one. The socket is made here, so nobody waits for it.

A connection to a spawner that is still importing waits in the queue of the listening socket, which it was
given; a spawner that cannot start closes it by ending.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from runtime.spawn.linux import MOUNT_ATTR_RDONLY
from runtime.spawn.mount_copies import clone_mount

SOCKET = "spawner.sock"
LOG = "spawner.log"
PRIVATE = "private"
_MODULE = "runtime.engine.spawner"
_PATH = os.pathsep.join((str(Path(__file__).parents[3]), *filter(None, sys.path)))
"""Where the spawner finds its packages without Python's site module, which takes a while to look for them."""
_BACKLOG = 16
_LOG_TAIL = 2000


def connect(root: Path, private: bool) -> socket.socket:
    """Return a blocking connection to the spawner of `root`, which is started when there is none.

    private: started so that it ends, and its containers too, with the last connection.

    Raises OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _short_name(root) as name, _alone(root):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            try:
                sock.connect(name)
            except (FileNotFoundError, ConnectionRefusedError):
                _start(root, name, private)
                sock.connect(name)
        except BaseException:
            sock.close()
            raise
    return sock


@contextlib.contextmanager
def _short_name(root: Path) -> Iterator[str]:
    """Yield a name of the socket that fits into the 107 bytes of an address, for any length of `root`."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET}"
    finally:
        os.close(fd)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Lock the root: two processes that look for a spawner at once would start two."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _start(root: Path, name: str, private: bool) -> None:
    """Make the socket, and a process that listens on it, in a new session and without our descriptors."""
    (root / SOCKET).unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        mask = os.umask(0o177)
        try:
            listener.bind(name)
        finally:
            os.umask(mask)
        listener.listen(_BACKLOG)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        log = os.open(root / LOG, flags, 0o600)
        stack.callback(os.close, log)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, null)
        program = clone_mount(os.path.realpath(sys.executable), MOUNT_ATTR_RDONLY, recursive=False)
        stack.callback(os.close, program)
        # Executed from a private read-only mount: a container's program that is a link to /proc/self/exe
        # could otherwise write to the host's (CVE-2019-5736).
        # The process started here leaves a child behind and ends, so that the spawner is nobody's child.
        starter = subprocess.Popen(
            [
                *(sys.executable, "-SP", "-m", _MODULE, str(root.absolute()), str(listener.fileno())),
                *([PRIVATE] if private else []),
            ],
            executable=f"/proc/self/fd/{program}",
            stdin=null,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": os.defpath, "PYTHONPATH": _PATH, "LANG": "C.UTF-8"},
            start_new_session=True,
            pass_fds=(listener.fileno(), program),
        )
        starter.wait()


def log_tail(root: Path) -> str:
    """Return the last line that a spawner wrote to its log."""
    try:
        text = (root / LOG).read_text("utf-8", "replace")[-_LOG_TAIL:]
    except OSError:
        return ""
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
