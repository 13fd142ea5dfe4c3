"""Report that a container runs out of memory when it happens, as docker does, not at its end."""

from __future__ import annotations

import asyncio
import functools
import logging

from runtime.engine.service.records.table import ContainerEntry, ContainerTable
from runtime.spawn.cgroups import find_layout
from runtime.spawn.cgroups.oom import OomWatch
from runtime.spawn.errnos import errno_text

_YOUNG_S = 0.05
"""A program that ends sooner is not watched: its exit reports the same, and its start is not slowed down."""

log = logging.getLogger(__name__)

_layout = functools.cache(find_layout)


class OomMonitor:
    """Watches one run of a container, from a moment after it was made to end()."""

    def __init__(self, table: ContainerTable, entry: ContainerEntry) -> None:
        self._table, self._entry = table, entry
        self._watch: OomWatch | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_YOUNG_S, self._begin)

    def _begin(self) -> None:
        try:
            self._watch = OomWatch(self._entry.record.state.pid, _layout())
        except OSError as error:  # it has ended, which is reported elsewhere
            log.debug("watch the memory of container %s: %s", self._entry.id, errno_text(error))
            return
        self._loop.add_reader(self._watch.fd, self._look)
        self._look()

    def _look(self) -> None:
        try:
            if self._watch is not None and self._watch.happened():
                self._table.set_state(self._entry, save=False, oom_killed=True)
                self._table.publish(self._entry.record, "oom")
        except OSError:  # its cgroup is gone: all is reported
            self._close()

    def end(self) -> None:
        """Report what has happened so far, and stop."""
        self._timer.cancel()
        self._look()
        self._close()

    def _close(self) -> None:
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fd)
            self._watch.close()
            self._watch = None


def watch(table: ContainerTable, entry: ContainerEntry) -> None:
    """Report from now on when a running container runs out of memory, if it has a limit."""
    unwatch(entry)
    if entry.record.host_config.memory:
        entry.oom = OomMonitor(table, entry)


def unwatch(entry: ContainerEntry) -> None:
    """Stop watching it. Idempotent."""
    if entry.oom is not None:
        entry.oom.end()
        entry.oom = None
