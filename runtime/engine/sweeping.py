"""Free what killed engines left. Anything that carries the owner of a living process is left alone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

from runtime.engine.directories import Directories, remove_tree
from runtime.engine.process_resources import PREFIX
from runtime.network.errors import NetworkError
from runtime.network.host import sweeping as networks
from runtime.spawn import cgroups
from runtime.spawn.owner import Owner

_PATIENCE_S = 5.0


def sweep(directories: Directories) -> list[str]:
    """Kill the containers of dead engines and free their cgroups, links and directories; return the names.

    Only engines below the same root: their directories say whose they are. Cgroups and links say it
    themselves.
    """
    freed = cgroups.sweep(PREFIX)
    for run in directories.dead():
        for note in run.glob("*/pid"):
            _kill(note)
        for home in run.iterdir():
            remove_tree(str(home))
        with contextlib.suppress(OSError):
            run.rmdir()
        freed.append(str(run))
    with contextlib.suppress(NetworkError):  # what cannot be freed now is when the next one looks
        freed += networks.sweep()
    return freed


def _kill(note: Path) -> None:
    """Kill a container that had no cgroup, if its pid is still the same process."""
    owner = Owner.parse(note.read_text())
    if owner is None or not owner.is_alive():
        return
    try:
        pidfd = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        return
    try:
        if owner.is_alive():  # asked again: now the pidfd holds the pid
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], _PATIENCE_S)
    finally:
        os.close(pidfd)
