"""Processes of this host: find those of an instance, kill and reap them, sum up their memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

from bench.backends.base import BackendError, Footprint

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded before any fork


class HostChild:
    """A child of this process, held by its pidfd. `on_kill` may kill more than the child itself."""

    def __init__(self, pid: int, pidfd: int, on_kill: Callable[[], None] | None = None) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.on_kill = on_kill
        self._code: int | None = None

    def wait(self) -> int:
        """Reap it and return its exit code, 128 + signal for a death by signal."""
        if self._code is None:
            try:
                info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            except ChildProcessError as error:
                raise BackendError(f"wait for process {self.pid}: another thread has reaped it") from error
            finally:
                self._close()
            assert info is not None
            self._code = info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status
        return self._code

    def ended(self) -> bool:
        """Return whether it has ended, reaped or not."""
        return self._code is not None or _has_ended(self.pidfd)

    def kill(self) -> None:
        """Send SIGKILL; does nothing if it has ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self.on_kill:
            self.on_kill()

    def kill_and_wait(self) -> int:
        """Kill it alone, if it has not ended, and reap it."""
        if not self.ended():
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        return self.wait()

    def _close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def die_with_parent() -> None:
    """Let the kernel kill this process with its parent: `cp` must not continue while the next run sweeps."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def rooted_below(directory: Path) -> dict[int, str]:
    """Return pid → root of every process whose root directory is `directory` or lies below it."""
    prefix = str(directory)
    found = {}
    for pid in pids():
        with contextlib.suppress(OSError):
            root = str(Path(f"/proc/{pid}/root").readlink())
            if root == prefix or root.startswith(prefix + "/"):
                found[pid] = root
    return found


def pids() -> list[int]:
    """Return all process ids of this pid namespace."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - a Path each is slow here


def session_of(pid: int) -> int:
    """Return the session id of `pid`, 0 if it is gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def parent_of(pid: int) -> int:
    """Return the parent's id of `pid`, 0 if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def has_variable(pid: int, assignment: bytes) -> bool:
    """Return whether `NAME=value` is in the environment that `pid` was started with."""
    try:
        return assignment in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def has_argument(pid: int, argument: bytes) -> bool:
    """Return whether the command line of `pid` contains exactly this argument."""
    try:
        return argument in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def name_of(pid: int) -> str:
    """Return the kernel's name of its program, "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def kill_all(find: Callable[[], Collection[int]], what: str, timeout_s: float = 30.0) -> None:
    """Kill what `find` returns until none of it is alive. Raises BackendError after `timeout_s`.

    A process may fork before it dies, so `find` is called again. A zombie counts as dead.
    """
    deadline = time.monotonic() + timeout_s
    while alive := [pid for pid in find() if _kill(pid, find)]:
        if time.monotonic() > deadline:
            raise BackendError(
                f"stop {what}: processes {alive} do not die after SIGKILL; see their wchan in /proc"
            )
        time.sleep(0.001)


def _kill(pid: int, find: Callable[[], Collection[int]]) -> bool:
    """Kill one process by pidfd, after checking that the pid is still one of ours. False if it is dead."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if _has_ended(pidfd) or pid not in find():
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def _has_ended(pidfd: int) -> bool:
    """Return whether the process is gone or a zombie, which still accepts signals and keeps its
    namespaces."""
    return bool(select.select([pidfd], [], [], 0)[0])


def pss(processes: Collection[int]) -> Footprint:
    """Return the sum of the proportional set sizes: a page shared by n processes counts as 1/n in each."""
    total = sum(_pss_bytes(pid) for pid in processes)
    return Footprint(bytes=total, method="pss")


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def in_pid_namespace_of(pid: int) -> list[int]:
    """Return the processes that share the pid namespace of `pid` (not those in namespaces below it)."""
    try:
        wanted = os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - a Path each is slow here
    except OSError:
        return []
    found = []
    for other in pids():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{other}/ns/pid") == wanted:  # noqa: PTH115
                found.append(other)
    return found
