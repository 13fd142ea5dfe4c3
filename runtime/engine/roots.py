"""Root file systems: a writable layer over shared image layers, with some made in advance.

An overlay takes three directories and about 0.2 ms of a disk's journal; both are spent outside the start path
when a root is ready.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from runtime.engine.directories import Directories
from runtime.engine.mount_point_layer import add_targets
from runtime.spawn.idmaps import IdMaps, make_user_namespace
from runtime.spawn.mount_copies import clone_mount
from runtime.spawn.overlay import make_mapped_overlay, make_overlay

if TYPE_CHECKING:
    from runtime.image.layers.store_files import Lease

_TARGETS_MOST = 256
_IMAGES_KEPT = 4
"""For how many sets of layers roots are kept ready; the least recently used one is dropped."""


class Root(msgspec.Struct, frozen=True):
    """One container's root: `fd` of its detached mount, and the directory of its writable layer.

    The caller closes fd as soon as the container has it. targets: its layers have what all containers mount
    on.
    """

    fd: int
    home: str
    targets: bool = False


class Roots:
    """Makes roots. take() and refill() may be called by several threads.

    targets: put the mount points of all containers into one layer, made by the first refill(), instead of
    into the writable layer of each.
    """

    def __init__(self, directories: Directories, size: int, *, targets: bool = False) -> None:
        self._directories = directories
        self._size = size
        self._targets = targets
        self._below: dict[tuple[str, ...], tuple[tuple[int, ...], tuple[str, ...]]] = {}
        self._ready: OrderedDict[tuple[str, ...], deque[Root]] = OrderedDict()
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, ...], Lease | None] = {}
        self._inodes: dict[tuple[str, ...], tuple[int, ...]] = {}

    def take(self, layers: tuple[str, ...]) -> Root:
        """Return a root over `layers`, lowest first. Raises StepError, OSError."""
        try:
            return self._ready[layers].popleft()
        except (KeyError, IndexError):
            return self._make(layers)

    def take_at(self, home: str, layers: tuple[str, ...]) -> Root:
        """Return a root whose writable layer lies in `home`, existing or new.

        A ready root is renamed to it: its overlay holds the directories themselves. Raises StepError,
        OSError.
        """
        if not os.path.isdir(f"{home}/u") and self._still(layers):  # noqa: PTH112 - hot
            with contextlib.suppress(KeyError, IndexError):
                ready = self._ready[layers].popleft()
                try:
                    os.rename(ready.home, home)  # noqa: PTH104
                    return Root(ready.fd, home, ready.targets)
                except OSError:  # another file system, no parent yet, or something is there
                    self._ready[layers].appendleft(ready)
        upper, work = Directories.make_at(home)
        return self._over(layers, home, upper, work)

    def make_mapped(self, layers: tuple[str, ...], maps: IdMaps, kept: str = "") -> Root:
        """Return a root whose files belong to the container's ids: the layers' owners are mapped.

        kept: as the home of take_at(). Raises StepError, OSError.
        """
        with contextlib.ExitStack() as held, contextlib.ExitStack() as undo:
            namespace = make_user_namespace(maps)
            held.callback(os.close, namespace)
            if kept:
                home, (upper, work) = kept, Directories.make_at(kept)
            else:
                home, upper, work = self._directories.make()
                undo.callback(self._directories.remove, home)
            for directory in (upper, work):
                os.chown(directory, *maps.outside(0, 0))
            root = Root(make_mapped_overlay(layers, upper, work, namespace), home)
            undo.pop_all()
        return root

    def bind(self, rootfs: str) -> Root:
        """Return the directory `rootfs` itself as a root, in place of an overlay."""
        home, _, _ = self._directories.make()
        return Root(clone_mount(rootfs), home)

    def refill(
        self, layers: tuple[str, ...], hold: Callable[[], Lease | None], most: int | None = None
    ) -> bool:
        """Make up to `most` roots over `layers` in advance, outside the start path.

        True when none is missing. hold: called with the first one, to keep the layers from being removed.
        """
        with self._lock:
            if layers not in self._ready:
                self._leases[layers] = hold()
                self._inodes[layers] = _inodes(layers)
                self._add_targets(layers)
            ready = self._ready.setdefault(layers, deque())
            self._ready.move_to_end(layers)
            while len(ready) < self._size and most != 0:
                ready.append(self._make(layers))
                most = None if most is None else most - 1
            while len(self._ready) > _IMAGES_KEPT:
                self._drop(next(iter(self._ready)))
            return len(ready) >= self._size

    def drop_stale(self) -> None:
        """Free the ready roots over layers that were removed."""
        with self._lock:
            for layers in list(self._ready):
                if not self._still(layers):
                    self._drop(layers)

    def _still(self, layers: tuple[str, ...]) -> bool:
        """Say whether the layers are still those of the ready roots, as there may be no lease on them."""
        return self._inodes.get(layers) == _inodes(layers)

    def close(self) -> None:
        """Free all roots that were not taken. Idempotent."""
        with self._lock:
            while self._ready:
                self._drop(next(iter(self._ready)))

    def _make(self, layers: tuple[str, ...]) -> Root:
        home, upper, work = self._directories.make()
        try:
            return self._over(layers, home, upper, work)
        except BaseException:
            self._directories.remove(home)
            raise

    def _add_targets(self, layers: tuple[str, ...]) -> None:
        inodes = self._inodes[layers]
        known = self._below.get(layers)
        if not self._targets or (known is not None and known[0] == inodes):
            return
        if len(self._below) < _TARGETS_MOST:  # containers may be over them, so they stay
            self._below[layers] = inodes, add_targets(layers, self._directories)

    def _over(self, layers: tuple[str, ...], home: str, upper: str, work: str) -> Root:
        """Make a root over `layers`, and over the layer of mount points if there is one."""
        known = self._below.get(layers)
        made = known is not None and known[0] == _inodes(layers)
        lower = known[1] if known is not None and made else layers
        return Root(make_overlay(lower, upper, work), home, made)

    def _drop(self, layers: tuple[str, ...]) -> None:
        """Free the ready roots over `layers`, and their lease."""
        ready = self._ready.pop(layers)
        while ready:  # one by one: take() may be at it too
            root = ready.popleft()
            os.close(root.fd)
            self._directories.remove(root.home)
        self._inodes.pop(layers, None)
        lease = self._leases.pop(layers, None)
        if lease is not None:
            lease.close()


def _inodes(layers: tuple[str, ...]) -> tuple[int, ...]:
    """Identify a layer, so that one that was removed and unpacked again differs."""
    try:
        return tuple(os.stat(layer).st_ino for layer in layers)  # noqa: PTH116 - hot
    except OSError:
        return ()
