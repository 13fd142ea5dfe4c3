"""Collect ended QEMU daemons, and no other child, in a process that is a child subreaper.

libvirt starts QEMU as a daemon and later waits until the process has gone. Under a PID 1 that reaps slowly
that takes seconds, under a subreaper that never does 40 s. So the driver's process takes the daemons in and
reaps them. libvirt waits for its other children by itself, and fails when one is taken from it: also for the
QEMU it asks for its abilities, which forks a daemon and ends. That one is in our session, daemons are not.
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
    """Wait for each ended QEMU among our children that has left our session; their process ids."""
    ended = ended_daemons()
    for pid in ended:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return ended


def ended_daemons() -> list[int]:
    """QEMUs in sessions of their own, our children, that ended and were not waited for."""
    me, session = os.getpid(), os.getsid(0)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it has gone meanwhile
            name, _, fields = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            state, parent, _, its_session = fields.split()[:4]
            if state == "Z" and int(parent) == me and int(its_session) != session and name.startswith(_QEMU):
                found.append(int(entry.name))
    return found
