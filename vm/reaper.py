"""Collect ended QEMUs, and no other child, in a process that is a child subreaper.

libvirt starts QEMU as a daemon and later waits until the process has gone. Under a PID 1 that reaps slowly
that takes seconds, under a subreaper that never does 40 s. So the driver's process takes the daemons in and
reaps them; libvirt's other children are left alone, since libvirt waits for those by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_QEMU = "qemu-system"


def start_reaper() -> None:
    """Become subreaper and reap QEMUs in a thread that sleeps in sigwait. Call before other threads start,
    from the main thread: SIGCHLD is blocked here, and threads inherit that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def loop() -> None:
        while True:
            signal.sigwait({signal.SIGCHLD})
            reap_qemus()

    threading.Thread(target=loop, name="qemu-reaper", daemon=True).start()


def reap_qemus() -> list[int]:
    """Wait for each ended QEMU among our children; their process ids."""
    ended = [pid for pid in ended_children() if _is_qemu(pid)]
    for pid in ended:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
    return ended


def ended_children() -> list[int]:
    """Children of this process that ended and were not waited for."""
    found = []
    me = str(os.getpid())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and parent == me:
                found.append(int(entry.name))
    return found


def _is_qemu(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(_QEMU)
    except OSError:
        return False
