"""Connections to this process's bridges for systems that make no networks: VMs and bare OCI runtimes.

The bridges are those of our runtime's engines in this process, so taps, crun's veths and our containers'
veths are on the same bridge and take the same route to the wire.
"""

from __future__ import annotations

import secrets
from typing import Literal

from bench.backends.base import FailuresOf
from bench.model import NetworkMode
from runtime.engine import process_resources
from runtime.network.errors import NetworkError
from runtime.network.host import sweeping
from runtime.network.model import NetworkAttachment, NetworkSpec
from runtime.spawn import cgroups
from runtime.spawn.cgroups import CgroupError

BridgedMode = Literal["bridge", "nat"]


def bridged(mode: NetworkMode) -> BridgedMode | None:
    """Return `mode` when it has a bridge, else None."""
    return mode if mode in ("bridge", "nat") else None


class Namespace:
    """A network namespace that is attached already and can be joined by its descriptor. Raises
    BackendError."""

    def __init__(self, mode: BridgedMode) -> None:
        with _failures_of(f"attach to the {mode} network"):
            process_resources.enter()
            try:
                self._attachment: NetworkAttachment | None = process_resources.networks().attach(mode)
            except BaseException:
                process_resources.leave()
                raise
        assert self._attachment is not None
        self.descriptor = self._attachment.netns_fd
        self.address = self._attachment.address

    def close(self) -> None:
        """Return it to the pool, once no process runs in it. Idempotent."""
        if self._attachment is not None:
            with _failures_of("leave a network"):
                process_resources.networks().detach(self._attachment)
                self._attachment = None
                process_resources.leave()


class Address:
    """An address on a bridge, for a tap. Raises BackendError."""

    def __init__(self, mode: BridgedMode) -> None:
        self._mode = mode
        self._holder = secrets.token_hex(8)
        self._open = True
        with _failures_of(f"attach to the {mode} network"):
            process_resources.enter()
            try:
                self.network: NetworkSpec = process_resources.networks().spec(mode)
                self.address = process_resources.networks().reserve(mode, self._holder)
            except BaseException:
                process_resources.leave()
                raise

    def close(self) -> None:
        """Release it. Idempotent."""
        if self._open:
            self._open = False
            with _failures_of("leave a network"):
                process_resources.networks().release(self._mode, self._holder)
                process_resources.leave()


def sweep() -> None:
    """Free links, firewall tables and cgroups that dead processes left."""
    with _failures_of("sweep networks"):
        sweeping.sweep()
        cgroups.sweep(process_resources.PREFIX)


def _failures_of(operation: str) -> FailuresOf:
    return FailuresOf(operation, NetworkError, CgroupError, OSError)
