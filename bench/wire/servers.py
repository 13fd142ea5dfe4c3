"""Servers of the remote peer: programs of the bench image, in the peer's network namespace.

Each has its own mount namespace, with the image as the root and a tmpfs on /tmp, so that the image is not
written to (iperf3 creates a buffer file) and no mount of the host is kept busy. It is entered like a
container's, by an anchor, which also works if this process is in a chroot.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from bench.backends.programs.launch import CPU_SET_BYTES, add_stdio, cpu_mask
from bench.wire.links import WireError
from runtime.spawn import linux
from runtime.spawn.mount_anchor import make_anchor
from runtime.spawn.mount_copies import clone_mount
from runtime.spawn.mounts import add_enter_anchor
from runtime.spawn.tape import Slot, StepError, StepKilledError, Tape, pointers, spawn

_PATIENCE_S = 60.0
_PR_SET_PDEATHSIG = 1


class Server:
    """A running program of the peer. `pid` is the leader of its session."""

    def __init__(self, argv: Sequence[str], pid: int, pidfd: int, output: int) -> None:
        self.argv = tuple(argv)
        self.pid = pid
        self._pidfd = pidfd
        self._output = output

    def wait_for(self, port: int) -> None:
        """Return once the program listens on `port`. Raises WireError with the end of its output.

        This looks in /proc and does not connect: iperf3 would take that for a client and be busy for a while.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while not listens(Path(f"/proc/{self.pid}/net/tcp"), port):
            ended = bool(select.select([self._pidfd], [], [], 0.002)[0])
            if ended or time.monotonic() > deadline:
                state = "it has ended" if ended else f"not within {_PATIENCE_S:g} s"
                raise WireError(
                    f"start {self.argv[0]} in the remote peer: nothing listens on port {port}, {state}; "
                    f"its last words: {self._words()}"
                )

    def stop(self) -> None:
        """Kill it and the processes it started, and reap it. Idempotent."""
        if self._pidfd < 0:
            return
        # The group's id cannot be reused yet, because its leader is not reaped.
        os.killpg(self.pid, signal.SIGKILL)
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        os.close(self._output)
        self._pidfd = self._output = -1

    def _words(self) -> str:
        size = os.fstat(self._output).st_size
        text = os.pread(self._output, 2048, max(0, size - 2048)).decode(errors="replace")
        return " / ".join(text.strip().splitlines()[-3:]) or "(none)"


def listens(table: Path, port: int) -> bool:
    """Return whether a /proc/…/net/tcp has a socket that listens on `port`, for IPv4 or both.

    iperf3 listens on the IPv6 wildcard address, which also accepts IPv4 and is listed in `tcp6`.
    """
    wanted = f":{port:04X}"
    for path in (table, table.with_name("tcp6")):
        try:
            lines = path.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == "0A":
                return True
    return False


def start(argv: Sequence[str], rootfs: Path, netns_fd: int, cpus: Sequence[int]) -> Server:
    """Start a program; argv[0] is an absolute path in the image. Raises WireError, which names the step."""
    output = os.memfd_create("nw-server", os.MFD_CLOEXEC)
    held = [os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)]
    place = str(rootfs.resolve())
    try:
        held += (make_anchor(place), clone_mount(place, recursive=False))
        nothing, anchor, root = held
        child = spawn(
            _TAPE,
            {
                "fd0": nothing,
                "fd1": output,
                "fd2": output,
                "netns": netns_fd,
                "anchor": anchor,
                "root": root,
                "cpus": cpu_mask(cpus),
                "path": os.fsencode(argv[0]),
                "argv": pointers(argv),
                "env": pointers(("PATH=/usr/bin:/bin", "LANG=C.UTF-8")),
            },
        )
    except (StepError, StepKilledError) as error:
        os.close(output)
        raise WireError(
            f"start {argv[0]} in the remote peer: {error}; run as root, and see that {rootfs} is the image"
        ) from error
    finally:
        for fd in held:
            os.close(fd)
    return Server(argv, child.pid, child.pidfd, output)


def _make_tape() -> Tape:
    tape = Tape()
    tape.add("new session", "setsid")
    tape.add("die with the wire", "prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    tape.add("set CPUs", "sched_setaffinity", 0, CPU_SET_BYTES, Slot("cpus"))
    tape.add("join the peer's network", "setns", Slot("netns"), linux.CLONE_NEWNET)
    add_stdio(tape)
    add_enter_anchor(tape)
    quiet = linux.MS_NOSUID | linux.MS_NODEV
    tape.add("mount tmpfs on /tmp", "mount", "tmpfs", "/tmp", "tmpfs", quiet, "size=64m,mode=1777")
    tape.add("go to /", "chdir", "/")
    tape.add("execve", "execve", Slot("path"), Slot("argv"), Slot("env"))
    return tape


_TAPE = _make_tape()
