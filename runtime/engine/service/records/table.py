"""The table of a daemon's containers: the record of each, and its state in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from runtime.engine.errors import NotFoundError
from runtime.engine.service.host.events import EventBus
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import EndpointSettings
from runtime.engine.service.records.names import Names
from runtime.engine.service.records.store import Store
from runtime.engine.service.records.waiters import Waiters
from runtime.engine.service.rules import old_links
from runtime.engine.service.rules.restart import Backoff
from runtime.network.model import Port

if TYPE_CHECKING:
    from runtime.image.store.image_store import ImageStore

T = TypeVar("T")

_SAVE_AGAIN_S = 5.0
_FINISH_S = 15.0
_IMAGES_KEPT = 64
_IDS_AHEAD = 4

log = logging.getLogger(__name__)


class Watch(Protocol):
    """Something that observes a container while it runs."""

    def end(self) -> None:
        """Stop observing. Idempotent."""


class ContainerEntry:
    """One container. `lock` is held for each change of its state, never while its end is awaited.

    user_restarting: a client restarts it, so its end neither removes it nor counts for its policy.
    stopping: a client stops it, so its end is also published as `stop`. removing: a client removes it.
    no_restart: its policy must not start it again after this run. volumes_held: its volumes are mounted.
    restart: the task that starts it again. health, oom: what observes it while it runs.
    """

    def __init__(self, record: ContainerRecord) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.waiters = Waiters()
        self.backoff = Backoff()
        self.restart: asyncio.Task[None] | None = None
        self.health: Watch | None = None
        self.oom: Watch | None = None
        self.user_restarting = self.stopping = self.removing = self.no_restart = self.volumes_held = False

    @property
    def id(self) -> str:
        """The container's id."""
        return self.record.id


class ContainerTable:
    """All containers.

    closing: the daemon ends, so no container is started any more. coming: the ids that the next containers
    will have.
    """

    def __init__(self, root: Path, events: EventBus, images: ImageStore) -> None:
        self.store = Store(root / "containers")
        self.names = Names()
        self.closing = False
        self.coming = deque(secrets.token_hex(32) for _ in range(_IDS_AHEAD))
        self._events, self._images = events, images
        self._entries: dict[str, ContainerEntry] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._layers: dict[str, tuple[Path, ...]] = {}
        self._unsaved: set[ContainerEntry] = set()

    def new_id(self) -> str:
        """Return the id for a new container."""
        self.coming.append(secrets.token_hex(32))
        return self.coming.popleft()

    # ---- finding --------------------------------------------------------------------------------------

    def find(self, ref: str) -> ContainerEntry:
        """Find a container by name, id, the unique start of an id, or an old link. Raises NotFoundError."""
        if "/" in ref.removeprefix("/"):
            return self._linked(ref)
        return self._entries[self.names.find(ref)]

    def _linked(self, ref: str) -> ContainerEntry:
        """Find the container to which another one's old link leads: `CONTAINER/ALIAS`."""
        name, _, alias = ref.removeprefix("/").partition("/")
        parent = self._entries.get(self.names.named(name) or "")
        known = old_links.partners(parent.record, self.get) if parent else ()
        for other, partner in known:
            if other == alias:
                return self._entries[partner.id]
        raise NotFoundError(f"No such container: {ref}")

    def get(self, ref: str) -> ContainerRecord:
        """Find a container's record."""
        return self.find(ref).record

    def by_id(self, container_id: str) -> ContainerEntry | None:
        """Return a container by its whole id."""
        return self._entries.get(container_id)

    def holds(self, entry: ContainerEntry) -> bool:
        """Say whether a container is still there."""
        return self._entries.get(entry.id) is entry

    def __iter__(self) -> Iterator[ContainerEntry]:
        return iter(list(self._entries.values()))

    def require(self, entry: ContainerEntry) -> None:
        """Raise NotFoundError for a container that went away while its lock was awaited."""
        if not self.holds(entry):
            raise NotFoundError(f"No such container: {entry.id}")

    def counts(self) -> Counter[str]:
        """Return how many containers there are by status."""
        return Counter(entry.record.state.status for entry in self)

    # ---- changing -------------------------------------------------------------------------------------

    def add(self, record: ContainerRecord) -> ContainerEntry:
        """Take up a container. Raises ConflictError when its name is taken."""
        self.names.add(record.id, record.name)
        entry = self._entries[record.id] = ContainerEntry(record)
        return entry

    def drop(self, entry: ContainerEntry) -> None:
        """Forget a container."""
        self.names.drop(entry.id, entry.record.name)
        self._entries.pop(entry.id, None)

    def set_state(self, entry: ContainerEntry, *, save: bool = True, **changes: object) -> None:
        """Change fields of a container's state, here and (with save) on disk."""
        state = msgspec.structs.replace(entry.record.state, **changes)
        entry.record = msgspec.structs.replace(entry.record, state=state)
        if save and not self.store.save_state(entry.record):
            self._save_later(entry)

    def _save_later(self, entry: ContainerEntry) -> None:
        """Try again to save a state, until the disk has space; the next daemon would believe an old one."""
        if entry not in self._unsaved and not self.closing:
            self._unsaved.add(entry)
            asyncio.get_running_loop().call_later(_SAVE_AGAIN_S, self._save_again, entry)

    def _save_again(self, entry: ContainerEntry) -> None:
        self._unsaved.discard(entry)
        if self.holds(entry) and not self.store.save_state(entry.record):
            self._save_later(entry)

    def layers(self, record: ContainerRecord) -> tuple[Path, ...]:
        """Return the directories of the image's layers, lowest first. Raises ImageNotFoundError."""
        known = self._layers.pop(record.image_id, None)
        if known is None or not all(map(os.path.isdir, known)):  # removed, and here again since
            known = tuple(self._images.resolve(record.image_id).layer_dirs)
        self._layers[record.image_id] = known
        while len(self._layers) > _IMAGES_KEPT:
            self._layers.pop(next(iter(self._layers)))
        return known

    def directory(self, container_id: str) -> Path:
        """Return `containers/<id>`: log.json*, layer/u and layer/w, hosts, resolv.conf, hostname."""
        return self.store.directory(container_id)

    def publish(self, record: ContainerRecord, action: str, more: Mapping[str, str] | None = None) -> None:
        """Publish an event of a container, with its labels, image and name, and `more`."""
        own = {"image": record.image, "name": record.name}
        attributes = {**(record.config.labels or {}), **own, **(more or {})}
        self._events.publish("container", action, record.id, attributes)

    # ---- for networks -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def held_still(self, ref: str) -> AsyncIterator[ContainerRecord]:
        """Find a container, and yield its record; it neither starts nor ends until the block is left."""
        entry = self.find(ref)
        async with entry.lock:
            self.require(entry)
            yield entry.record

    async def set_networks(self, container_id: str, networks: dict[str, EndpointSettings]) -> ContainerRecord:
        """Replace the networks of a container, and save them."""
        entry = self.find(container_id)
        entry.record = msgspec.structs.replace(entry.record, networks=networks)
        self.store.save_state(entry.record)
        await asyncio.to_thread(self.store.sync_state, entry.id)
        return entry.record

    def set_ports(self, container_id: str, ports: tuple[Port, ...] | None) -> None:
        """Note the published ports after a change of networks; None: unchanged."""
        entry = self.by_id(container_id)
        running = entry is not None and entry.record.state.running
        if entry and running and ports is not None and ports != entry.record.state.ports:
            self.set_state(entry, ports=ports)

    # ---- work -----------------------------------------------------------------------------------------

    async def carry_out(self, work: Coroutine[Any, Any, T]) -> T:
        """Complete `work`, even when the caller is cancelled."""
        return await asyncio.shield(self.in_background(work))

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do `work` in a task that finish() waits for; its failure is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def in_thread(self, work: Callable[..., None], *arguments: Any) -> asyncio.Task[None]:
        """Do blocking `work` in a thread; finish() waits for it."""
        return self.in_background(asyncio.to_thread(work, *arguments))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("work in the background failed", exc_info=task.exception())

    async def finish(self) -> None:
        """Wait for all work, and cancel what does not end."""
        deadline = asyncio.get_running_loop().time() + _FINISH_S
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(list(self._tasks), timeout=left)
        for task in self._tasks:
            log.warning("given up, as it does not end: %s", task.get_coro())
            task.cancel()
