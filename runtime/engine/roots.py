"""Root file systems: a writable layer of its own over shared image layers, some kept ready.

An overlay takes three directories and about 0.2 ms of a disk's journal; both are spent outside the start path
when a root is at hand.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec

from runtime.engine.directories import Directories
from runtime.image.files import Lease
from runtime.spawn.idmaps import IdMaps, make_user_namespace
from runtime.spawn.overlay import make_overlay
from runtime.spawn.trees import clone_mapped, clone_tree

_IMAGES_KEPT = 4
"""Sets of layers that roots are kept ready for; the one longest unused gives way."""


class Root(msgspec.Struct, frozen=True):
    """One container's root: `fd` of its mount, attached nowhere yet, and the directory of its writable layer.

    fd is closed by whoever took the root, as soon as the container has it.
    """

    fd: int
    home: str


class Roots:
    """Makes roots. take() and refill() may be called by several threads."""

    def __init__(self, directories: Directories, size: int) -> None:
        self._directories = directories
        self._size = size
        self._ready: OrderedDict[tuple[str, ...], deque[Root]] = OrderedDict()
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, ...], Lease | None] = {}

    def take(self, layers: tuple[str, ...]) -> Root:
        """Return a root over `layers`, lowest first. Raises StepError, OSError."""
        try:
            return self._ready[layers].popleft()
        except (KeyError, IndexError):
            return self._make(layers)

    def make_mapped(self, layers: tuple[str, ...], maps: IdMaps) -> Root:
        """Return a root whose files belong to the container's ids: the layers' owners are mapped.

        Raises StepError, OSError.
        """
        with contextlib.ExitStack() as held, contextlib.ExitStack() as undo:
            namespace = make_user_namespace(maps)
            held.callback(os.close, namespace)
            mapped = []
            for layer in layers:
                mapped.append(clone_mapped(layer, namespace))
                held.callback(os.close, mapped[-1])
            home, upper, work = self._directories.make()
            undo.callback(self._directories.remove, home)
            for directory in (upper, work):
                os.chown(directory, *maps.outside(0, 0))
            root = Root(make_overlay([f"/proc/self/fd/{fd}" for fd in mapped], upper, work), home)
            undo.pop_all()
        return root

    def bind(self, rootfs: str) -> Root:
        """Return the directory `rootfs` itself as a root, in place of an overlay."""
        home, _, _ = self._directories.make()
        return Root(clone_tree(rootfs), home)

    def refill(self, layers: tuple[str, ...], hold: Callable[[], Lease | None]) -> None:
        """Bring the number of ready roots over `layers` up to size; call it outside the start path.

        hold: keeps the layers from being removed, called when the first is made.
        """
        with self._lock:
            if layers not in self._ready:
                self._leases[layers] = hold()
            ready = self._ready.setdefault(layers, deque())
            self._ready.move_to_end(layers)
            while len(ready) < self._size:
                ready.append(self._make(layers))
            while len(self._ready) > _IMAGES_KEPT:
                self._drop(next(iter(self._ready)))

    def close(self) -> None:
        """Free all that were not taken. Idempotent."""
        with self._lock:
            while self._ready:
                self._drop(next(iter(self._ready)))

    def _make(self, layers: tuple[str, ...]) -> Root:
        home, upper, work = self._directories.make()
        try:
            return Root(make_overlay(layers, upper, work), home)
        except BaseException:
            self._directories.remove(home)
            raise

    def _drop(self, layers: tuple[str, ...]) -> None:
        """Free the ready roots over `layers`, and let the layers go."""
        ready = self._ready.pop(layers)
        while ready:  # one by one: take() may be at it too
            root = ready.popleft()
            os.close(root.fd)
            self._directories.remove(root.home)
        lease = self._leases.pop(layers, None)
        if lease is not None:
            lease.close()
