"""Event bus; it keeps recent events, so that clients can ask for the past."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from runtime.engine.service.model.filters import Filters, any_matches, label_matches

KEPT = 1000
_QUEUED = 4096

EventType = Literal["container", "image", "network", "volume", "daemon", "builder"]
FILTERS = frozenset(
    {"config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope",
     "secret", "service", "type", "volume"}
)  # fmt: skip


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. time_ns: wall clock. attributes: of a container image, name, labels, and the action's."""

    type: str
    action: str
    actor: str
    attributes: Mapping[str, str]
    time_ns: int

    def document(self) -> dict[str, Any]:
        """Return Docker's JSON form, with the old `status`, `id`, `from` for containers and images."""
        old: dict[str, Any] = {}
        if self.type in ("container", "image"):
            old = {"status": self.action, "id": self.actor}
            if self.type == "container":
                old["from"] = self.attributes.get("image", "")
        return old | {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.actor, "Attributes": dict(self.attributes)},
            "scope": "local",
            "time": self.time_ns // 1_000_000_000,
            "timeNano": self.time_ns,
        }


class Subscription:
    """An async iterator of events. It listens from its creation on; close() ends it."""

    def __init__(self, bus: EventBus, until_ns: int | None, filters: Filters) -> None:
        self._bus, self._until_ns, self._filters = bus, until_ns, filters
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        left = None if self._until_ns is None else max(0.0, (self._until_ns - time.time_ns()) / 1e9)
        try:
            async with asyncio.timeout(left if self._queue.empty() else None):
                event = await self._queue.get()
        except TimeoutError:
            event = None
        if event is None:
            self.close()
            raise StopAsyncIteration
        return event

    def offer(self, event: Event) -> None:
        """Queue an event that matches; disconnect a client that does not read, to bound the queue."""
        if self._until_ns is not None and event.time_ns > self._until_ns:
            return
        if matches(event, self._filters):
            self._queue.put_nowait(event)
            if self._queue.qsize() > _QUEUED:
                self.end()

    def end(self) -> None:
        """End the reader's iteration after what is queued."""
        self._queue.put_nowait(None)
        self.close()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._bus.forget(self)


class EventBus:
    """All events of a daemon. Used in the loop only."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: dict[int, Subscription] = {}

    def publish(
        self,
        type: EventType,  # noqa: A002
        action: str,
        actor_id: str,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Publish that `action` happened to `actor_id`."""
        event = Event(
            type=type, action=action, actor=actor_id, attributes=attributes or {}, time_ns=time.time_ns()
        )
        self._kept.append(event)
        for listener in list(self._listeners.values()):
            listener.offer(event)

    def subscribe(
        self, *, since: float | None = None, until: float | None = None, filters: Filters | None = None
    ) -> Subscription:
        """Listen from now on; with `since` (Unix seconds), kept events from then on come first.

        until: ends the iteration; with an `until` that has passed, only kept events come. With an `until` and
        no `since`, all that are kept come first, as docker has it.
        """
        until_ns = None if until is None else int(until * 1e9)
        subscription = Subscription(self, until_ns, filters or {})
        if since is not None or until is not None:
            for event in self._kept:
                if event.time_ns >= (since or 0) * 1e9:
                    subscription.offer(event)
        self._listeners[id(subscription)] = subscription
        return subscription

    def listening(self) -> int:
        """Return the number of listeners."""
        return len(self._listeners)

    def forget(self, subscription: Subscription) -> None:
        """Remove a listener. Idempotent."""
        self._listeners.pop(id(subscription), None)

    def close(self) -> None:
        """End all listeners."""
        for listener in list(self._listeners.values()):
            listener.end()


def matches(event: Event, filters: Filters) -> bool:
    """Say whether an event matches all filters."""
    attributes = event.attributes
    for name, values in filters.items():
        if not values:
            continue
        if name in ("container", "network", "volume", "daemon", "image"):
            fits = _is_actor(event, name, values)
        elif name == "event":
            fits = any(event.action == value or event.action.startswith(value + ":") for value in values)
        elif name == "type":
            fits = event.type in values
        elif name == "scope":
            fits = "local" in values
        elif name == "label":
            fits = label_matches(values, attributes)
        else:
            fits = name not in FILTERS  # a swarm's match nothing here; docker takes no notice of others
        if not fits:
            return False
    return True


def _is_actor(event: Event, kind: str, values: Any) -> bool:
    """As in Docker, match a name, an id or its start; an image also by what a container was made from."""
    name = event.attributes.get("name", "")
    if kind == "image" and event.type == "container":
        image = event.attributes.get("image", "")
        return image in values or image.rpartition(":")[0] in values
    if event.type != kind:
        return False
    return any(event.actor == one or name == one or event.actor.startswith(one) for one in values) or (
        kind == "image" and any_matches([f"^{value}(:|$)" for value in values], name)
    )
