"""Reap ended QEMU daemons, and no other child, in a process that is a child subreaper.

libvirt starts QEMU as a daemon and later waits until the process is gone. Under a PID 1 that reaps slowly
that takes seconds, under a subreaper that never reaps 40 s. So the driver's process becomes the subreaper and
reaps the daemons. libvirt waits for its other children itself and fails if one is reaped by others. That
includes the QEMU it probes for capabilities, which forks a daemon and ends: that one is in our session,
daemons are not.
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
    """Become a subreaper and reap QEMUs in a thread that sleeps in sigwait.

    Call it from the main thread before other threads start: it blocks SIGCHLD, and threads inherit that.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def loop() -> None:
        while True:
            signal.sigwait({signal.SIGCHLD})
            reap_qemus()

    threading.Thread(target=loop, name="qemu-reaper", daemon=True).start()


def reap_qemus() -> list[int]:
    """Reap each ended QEMU among our children that has left our session; return their process ids."""
    ended = ended_daemons()
    for pid in ended:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return ended


def ended_daemons() -> list[int]:
    """Return our QEMU children in other sessions that have ended and were not reaped."""
    me, session = os.getpid(), os.getsid(0)
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # the process is gone
            name, _, fields = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            state, parent, _, its_session = fields.split()[:4]
            if state == "Z" and int(parent) == me and int(its_session) != session and name.startswith(_QEMU):
                found.append(int(entry.name))
    return found
