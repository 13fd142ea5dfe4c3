"""All containers of a daemon: what a client may do with them. Each method is one thing Docker's API has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.service.filters import Filters
from runtime.engine.service.record import ContainerRecord
from runtime.engine.service.request import CreateRequest, EndpointSettings, UpdateRequest
from runtime.engine.service.waits import Condition, Ended

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

__all__ = ["Condition", "Containers", "Ended"]


class Containers:
    """The containers. Used in the loop only. `ref`: a name (with or without `/`), an id, or its unique start.

    Every method raises NotFoundError for an unknown `ref`, and EngineError subclasses besides.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    # ---- looking ------------------------------------------------------------------------------------------

    def get(self, ref: str) -> ContainerRecord:
        """Find a container."""
        raise NotImplementedError

    def list(
        self,
        *,
        all: bool = False,
        limit: int = 0,
        filters: Filters | None = None,  # noqa: A002
    ) -> list[ContainerRecord]:
        """Return those that fit, newest first; without `all` and a status filter only the running ones."""
        raise NotImplementedError

    def directory(self, id: str) -> Path:  # noqa: A002
        """Return `containers/<id>`: log.json*, layer/u and layer/w, hosts, resolv.conf, hostname."""
        raise NotImplementedError

    def layers(self, id: str) -> tuple[Path, ...]:  # noqa: A002
        """Return the image's layer directories below its own (`layer/u`), lowest first."""
        raise NotImplementedError

    def attributes(self, record: ContainerRecord, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what an event of this container carries: labels, image, name, and `more`."""
        raise NotImplementedError

    def publish(self, record: ContainerRecord, action: str, more: Mapping[str, str] | None = None) -> None:
        """Publish an event of this container."""
        raise NotImplementedError

    def using_image(self, image_id: str) -> Sequence[ContainerRecord]:
        """Return the containers made from an image (its config digest)."""
        raise NotImplementedError

    def using_volume(self, name: str) -> Sequence[ContainerRecord]:
        """Return the containers that have a volume, running or not."""
        raise NotImplementedError

    # ---- life -----------------------------------------------------------------------------------------------

    async def create(self, name: str | None, request: CreateRequest) -> tuple[str, list[str]]:
        """Make a container of a request; return its id and warnings."""
        raise NotImplementedError

    async def start(self, ref: str) -> None:
        """Start it. NotModifiedError when it runs; StartFailedError when its program could not be executed."""
        raise NotImplementedError

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Signal it and kill it after `timeout` s (-1: never). NotModifiedError when it does not run."""
        raise NotImplementedError

    async def restart(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop it if it runs, and start it."""
        raise NotImplementedError

    async def kill(self, ref: str, signal: str = "") -> None:
        """Send a signal (`KILL`, `SIGKILL`, `9`); ConflictError when it does not run."""
        raise NotImplementedError

    async def pause(self, ref: str) -> None:
        """Freeze it."""
        raise NotImplementedError

    async def unpause(self, ref: str) -> None:
        """Let it go on."""
        raise NotImplementedError

    def subscribe_wait(self, ref: str, condition: str = "not-running") -> asyncio.Future[Ended]:
        """Return a future of its end, registered already: nothing that happens afterwards is missed."""
        raise NotImplementedError

    async def wait(self, ref: str, condition: str = "not-running") -> Ended:
        """Wait for its end."""
        return await self.subscribe_wait(ref, condition)

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it, with its anonymous volumes when asked; `force` kills it first."""
        raise NotImplementedError

    async def rename(self, ref: str, name: str) -> None:
        """Give it another name."""
        raise NotImplementedError

    async def update(self, ref: str, request: UpdateRequest) -> list[str]:
        """Change limits and the restart policy; return warnings."""
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> tuple[list[str], int]:
        """Remove all that do not run and fit; return their ids and the bytes freed."""
        raise NotImplementedError

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        raise NotImplementedError

    async def set_networks(self, id: str, networks: dict[str, EndpointSettings]) -> ContainerRecord:  # noqa: A002
        """Replace what a container has of networks (connect and disconnect) and keep it on disk."""
        raise NotImplementedError
