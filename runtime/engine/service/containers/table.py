"""The containers a daemon holds: their records, and what goes with each while this process lives."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from runtime.engine.errors import NotFoundError
from runtime.engine.service.containers.names import Names
from runtime.engine.service.containers.store import Store
from runtime.engine.service.containers.waits import Waiters
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.networks import links
from runtime.engine.service.rules.restart import Backoff

if TYPE_CHECKING:
    from runtime.engine.service.containers.health import Monitor
    from runtime.engine.service.containers.oom import Lookout
    from runtime.engine.service.service import Service

T = TypeVar("T")

_SAVE_AGAIN_S = 5.0
_FINISH_S = 15.0
_IMAGES_KEPT = 64
_IDS_AHEAD = 4

log = logging.getLogger(__name__)


class Member:
    """One container. `lock` is held for each change of its state, never while its end is awaited.

    by_hand: somebody restarts it, so its end neither removes it nor counts for its policy. stopping: somebody
    stops it, so its end is told as `stop`. removing: somebody removes it. stay_down: its policy must not
    start it again after this run. held: its volumes are taken. restart: the task that starts it again.
    """

    def __init__(self, record: ContainerRecord) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.waiters = Waiters()
        self.backoff = Backoff()
        self.restart: asyncio.Task[None] | None = None
        self.health: Monitor | None = None
        self.oom: Lookout | None = None
        self.by_hand = self.stopping = self.removing = self.stay_down = self.held = False

    @property
    def id(self) -> str:
        """The container's id."""
        return self.record.id


class Members:
    """All containers. `closing`: the daemon ends, so nobody is started any more.

    coming: the ids that the next containers will have.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = Store(service.root / "containers")
        self.names = Names()
        self.closing = False
        self.coming = deque(secrets.token_hex(32) for _ in range(_IDS_AHEAD))
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._layers: dict[str, tuple[Path, ...]] = {}
        self._unsaved: set[Member] = set()

    def new_id(self) -> str:
        """Return the id for a new container."""
        self.coming.append(secrets.token_hex(32))
        return self.coming.popleft()

    # ---- finding --------------------------------------------------------------------------------------

    def find(self, ref: str) -> Member:
        """Find a container by name, id, the unique start of an id, or an old link. Raises NotFoundError."""
        if "/" in ref.removeprefix("/"):
            return self._linked(ref)
        return self._members[self.names.find(ref)]

    def _linked(self, ref: str) -> Member:
        """Find the container to which another one's old link leads: `CONTAINER/ALIAS`."""
        name, _, alias = ref.removeprefix("/").partition("/")
        parent = self._members.get(self.names.named(name) or "")
        known = links.partners(parent.record, self._record) if parent else ()
        for other, partner in known:
            if other == alias:
                return self._members[partner.id]
        raise NotFoundError(f"No such container: {ref}")

    def _record(self, ref: str) -> ContainerRecord:
        return self.find(ref).record

    def by_id(self, id: str) -> Member | None:  # noqa: A002
        """Return a container by its whole id."""
        return self._members.get(id)

    def holds(self, member: Member) -> bool:
        """Say whether a container is still there."""
        return self._members.get(member.id) is member

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._members.values()))

    def require(self, member: Member) -> None:
        """Raise NotFoundError for a container that went away while its lock was awaited."""
        if not self.holds(member):
            raise NotFoundError(f"No such container: {member.id}")

    # ---- changing -------------------------------------------------------------------------------------

    def add(self, record: ContainerRecord) -> Member:
        """Take up a container. Raises ConflictError when its name is taken."""
        self.names.add(record.id, record.name)
        member = self._members[record.id] = Member(record)
        return member

    def drop(self, member: Member) -> None:
        """Forget a container."""
        self.names.drop(member.id, member.record.name)
        self._members.pop(member.id, None)

    def set_state(self, member: Member, *, save: bool = True, **changes: object) -> None:
        """Change fields of a container's state, here and (with save) on disk."""
        state = msgspec.structs.replace(member.record.state, **changes)
        member.record = msgspec.structs.replace(member.record, state=state)
        if save and not self.store.save_state(member.record):
            self._save_later(member)

    def _save_later(self, member: Member) -> None:
        """Try again to save a state, until the disk has space; the next daemon would believe an old one."""
        if member not in self._unsaved and not self.closing:
            self._unsaved.add(member)
            asyncio.get_running_loop().call_later(_SAVE_AGAIN_S, self._save_again, member)

    def _save_again(self, member: Member) -> None:
        self._unsaved.discard(member)
        if self.holds(member) and not self.store.save_state(member.record):
            self._save_later(member)

    def layers(self, record: ContainerRecord) -> tuple[Path, ...]:
        """Return the directories of the image's layers, lowest first. Raises ImageNotFoundError."""
        known = self._layers.pop(record.image_id, None)
        if known is None or not all(map(os.path.isdir, known)):  # removed, and here again since
            known = tuple(self.service.images.resolve(record.image_id).layer_dirs)
        self._layers[record.image_id] = known
        while len(self._layers) > _IMAGES_KEPT:
            self._layers.pop(next(iter(self._layers)))
        return known

    # ---- telling --------------------------------------------------------------------------------------

    def attributes(self, record: ContainerRecord, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what an event of a container carries."""
        own = {"image": record.image, "name": record.name}
        return {**(record.config.labels or {}), **own, **(more or {})}

    def publish(self, record: ContainerRecord, action: str, more: Mapping[str, str] | None = None) -> None:
        """Publish an event of a container."""
        self.service.events.publish("container", action, record.id, self.attributes(record, more))

    # ---- work -----------------------------------------------------------------------------------------

    async def carry_out(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` to its end, even when the one who asked for it goes away."""
        return await asyncio.shield(self.in_background(work))

    def in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do `work` in a task that finish() waits for; its failure is logged unless somebody awaits it."""
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
        """Wait for all work that was begun, and give up what does not end."""
        deadline = asyncio.get_running_loop().time() + _FINISH_S
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(list(self._tasks), timeout=left)
        for task in self._tasks:
            log.warning("given up, as it does not end: %s", task.get_coro())
            task.cancel()
