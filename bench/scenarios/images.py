"""Images: bytes of pulls and pushes, a commit, the disk of many containers, whether these change the image.

Transfers use the run's own registry (bench.counting_registry), whose relay counts the payload of TCP, with
HTTP headers and manifests. The image has layers A and B of 12 MiB and a last one of 1 MiB; the changed image
has another last layer. Nothing in them can be compressed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from bench.backends.base import Engine
from bench.model import Metric, Role
from bench.scenarios.base import Context, Reading, ScenarioError
from bench.scenarios.lifecycle import OnDaemon, Timed, engine_of, removed

CHANGE = 1 << 20
"""Bytes of the random file that a container writes before it is committed."""

COUNTS = (1, 10, 100)
STARTED = 10
"""So many of the counted containers run their program, which writes one byte to its output."""

PROGRAM = ("/first",)


def _metric(name: str, unit: str, role: Role, definition: str) -> Metric:
    return Metric(name=name, unit=unit, better="lower", role=role, definition=definition)


PULL_COLD = _metric("image.pull.cold", "s", "info", "Seconds to pull an image when no part of it is present.")
PULL_COLD_MOVED = _metric(
    "image.pull.cold.moved",
    "ratio",
    "info",
    "Bytes that travelled in that pull, both ways, for each byte of the image's blobs.",
)
PULL_WARM = _metric(
    "image.pull.warm", "s", "info", "Seconds to pull the same image once more, all of it being there."
)
PULL_WARM_MOVED = _metric(
    "image.pull.warm.moved", "B", "info", "Bytes that travelled in that second pull, both ways."
)
PULL_CHANGED = _metric(
    "image.pull.changed",
    "s",
    "info",
    "Seconds to pull the image whose last layer is another, the first being there.",
)
PULL_CHANGED_MOVED = _metric(
    "image.pull.changed.moved",
    "ratio",
    "primary",
    "Bytes that travelled in the pull of the changed image, both ways, for each byte of its last layer "
    "(1 MiB).",
)
COMMIT = _metric(
    "image.commit",
    "s",
    "info",
    f"Seconds to make an image of a container that has written a file of {CHANGE >> 20} MiB.",
)
PUSH_CHANGED = _metric(
    "image.push.changed", "s", "info", "Seconds to push that image to the registry that it was pulled from."
)
PUSH_CHANGED_MOVED = _metric(
    "image.push.changed.moved",
    "ratio",
    "primary",
    "Bytes that travelled in that push, both ways, for each byte of the new layer as the registry keeps it.",
)
PUSH_AGAIN_MOVED = _metric(
    "image.push.again.moved", "B", "info", "Bytes that travelled when it was pushed once more, both ways."
)
PER_CONTAINER = {
    count: _metric(
        f"image.disk_per_container.{count}",
        "B",
        "primary" if count == COUNTS[-1] else "stress",
        f"Bytes on disk that each of {count} containers of one image costs: growth of all that the daemon "
        f"keeps, in blocks by inode, divided by their number. {min(count, STARTED)} of them ran.",
    )
    for count in COUNTS
}
CHANGED_FILES = _metric(
    "image.changed_files",
    "files",
    "primary",
    f"Files of the saved image (manifest, configuration, layers) whose sha256 is another after {COUNTS[-1]} "
    "containers were made of it, some run, one written to, and all removed.",
)


@runtime_checkable
class Image(Protocol):
    """An image in the counting registry, with the bytes of all its blobs and of its last layer."""

    @property
    def reference(self) -> str: ...  # noqa: D102

    @property
    def bytes(self) -> int: ...  # noqa: D102

    @property
    def last_layer(self) -> int: ...  # noqa: D102


@runtime_checkable
class TransferCounts(Protocol):
    """Bytes that passed the relay."""

    @property
    def to_registry(self) -> int: ...  # noqa: D102

    @property
    def from_registry(self) -> int: ...  # noqa: D102


@runtime_checkable
class ImageSource(Protocol):
    """The part of bench.counting_registry.CountingRegistry that a transfer needs."""

    @property
    def base(self) -> Image: ...  # noqa: D102

    @property
    def changed(self) -> Image: ...  # noqa: D102

    def moved(self) -> TransferCounts:
        """Return the bytes so far."""

    def reference(self, tag: str) -> str:
        """Return the reference of an image there."""

    def last_layer(self, tag: str) -> int:
        """Return the bytes of the last layer of a pushed image."""


class ImageTransfer(OnDaemon, kw_only=True):
    """Pull, pull again, pull the changed image, change it, commit, push, push again; then remove
    everything."""

    name: str = "image.transfer"
    metrics: tuple[Metric, ...] = (
        *(PULL_COLD, PULL_COLD_MOVED, PULL_WARM, PULL_WARM_MOVED, PULL_CHANGED, PULL_CHANGED_MOVED),
        *(COMMIT, PUSH_CHANGED, PUSH_CHANGED_MOVED, PUSH_AGAIN_MOVED),
    )
    cost_s: float = 0.8
    every_nth_block: int = 16

    def run(self, context: Context) -> list[Reading]:
        """Go through it once. Raises BackendError, ScenarioError."""
        engine, source = engine_of(context), source_of(context)
        pushed = source.reference(f"s{context.session}b{context.block}-{os.urandom(4).hex()}")
        mine = (source.base.reference, source.changed.reference, pushed)
        for reference in mine:
            engine.remove_image(reference)
        move = Move(source=source, timed=Timed([]))
        try:
            self._pulls(engine, source, move)
            self._pushes(engine, source, move, pushed)
        finally:
            for reference in mine:
                engine.remove_image(reference)
        return move.timed.readings

    def _pulls(self, engine: Engine, source: ImageSource, move: Move) -> None:
        move.take(lambda: engine.pull(source.base.reference), PULL_COLD, PULL_COLD_MOVED, source.base.bytes)
        move.take(lambda: engine.pull(source.base.reference), PULL_WARM, PULL_WARM_MOVED)
        changed = source.changed
        move.take(
            lambda: engine.pull(changed.reference), PULL_CHANGED, PULL_CHANGED_MOVED, changed.last_layer
        )

    def _pushes(self, engine: Engine, source: ImageSource, move: Move, pushed: str) -> None:
        container = engine.create(source.base.reference, PROGRAM)
        with removed(engine, container):
            engine.write(container, "/data/d", os.urandom(CHANGE))
            with move.timed.step(COMMIT):
                engine.commit(container, pushed)
            engine.remove(container)
        start_ns, before = time.monotonic_ns(), source.moved()
        with move.timed.step(PUSH_CHANGED):
            engine.push(pushed)
        move.count(PUSH_CHANGED_MOVED, start_ns, before, source.last_layer(pushed.rpartition(":")[2]))
        start_ns, before = time.monotonic_ns(), source.moved()
        engine.push(pushed)
        move.count(PUSH_AGAIN_MOVED, start_ns, before)


class Move(msgspec.Struct, kw_only=True):
    """Measures time and bytes of transfers."""

    source: ImageSource
    timed: Timed

    def take(self, action: Callable[[], object], timed: Metric, moved: Metric, size: int = 1) -> None:
        """Do it; bytes are given per `size` bytes."""
        start_ns, before = time.monotonic_ns(), self.source.moved()
        with self.timed.step(timed):
            action()
        self.count(moved, start_ns, before, size)

    def count(self, metric: Metric, start_ns: int, before: TransferCounts, size: int = 1) -> None:
        """Read the relay again and add the bytes since `before`."""
        now = self.source.moved()
        moved = now.to_registry + now.from_registry - before.to_registry - before.from_registry
        self.timed.readings.append(Reading.since(start_ns, metric, moved / size))


class ManyContainers(OnDaemon, kw_only=True):
    """A hundred containers of one image: their disk, and whether the image is unchanged."""

    name: str = "image.containers"
    metrics: tuple[Metric, ...] = (*PER_CONTAINER.values(), CHANGED_FILES)
    cost_s: float = 1.0
    every_nth_block: int = 16

    def run(self, context: Context) -> list[Reading]:
        """Create, count, remove, compare. Raises BackendError, ScenarioError."""
        engine, reference = engine_of(context), source_of(context).base.reference
        engine.pull(reference)
        containers: list[str] = []
        try:
            contents = engine.contents(reference)
            readings = self._many(engine, reference, containers)
            engine.write(containers[-1], "/data/a", b"changed")
            while containers:
                engine.remove(containers.pop())
            start_ns, after = time.monotonic_ns(), engine.contents(reference)
            readings.append(_changed(contents, after, start_ns))
        finally:
            for container in containers:
                engine.remove(container)
            engine.remove_image(reference)
        return readings

    def _many(self, engine: Engine, reference: str, containers: list[str]) -> list[Reading]:
        readings, before, start_ns = [], engine.disk_bytes(), time.monotonic_ns()
        for number in range(1, COUNTS[-1] + 1):
            containers.append(engine.create(reference, PROGRAM))
            if number <= STARTED:
                engine.start(containers[-1])
                engine.wait(containers[-1])
            if number in PER_CONTAINER:
                grown = engine.disk_bytes() - before
                readings.append(Reading.since(start_ns, PER_CONTAINER[number], max(0, grown) / number))
        return readings


def _changed(before: dict[str, str], after: dict[str, str], start_ns: int) -> Reading:
    if not before:
        raise ScenarioError("the daemon saved an image without a file in it")
    differ = sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())
    return Reading.since(start_ns, CHANGED_FILES, float(differ))


def source_of(context: Context) -> ImageSource:
    """Return the run's counting registry. Raises ScenarioError if there is none."""
    if not isinstance(context.registry, ImageSource):
        raise ScenarioError("the image family needs the counting registry, and there is none")
    return context.registry


SCENARIOS = (ImageTransfer(), ManyContainers())
