"""Stdio of all that runs: read once, written to the log, handed to whoever is attached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from runtime.engine.service.attachment import Attachment

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class Streams:
    """The stdio of the containers' own programs, and their logs. Used in the loop only.

    A container has its streams before it is started, and again after it has ended: who attaches then gets all
    of the next run. Descriptors given to adopt() belong to this object.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def adopt(self, id: str, fds: list[int]) -> None:  # noqa: A002
        """A container runs with these descriptors, from now or since before this process began.

        (stdin, stdout, stderr), (stdout, stderr), or one terminal.
        """
        raise NotImplementedError

    async def drained(self, id: str) -> None:  # noqa: A002
        """Return when all output of an ended container is read, logged and handed out; ends attachments.

        A process that lives on outside with the descriptors open is given two seconds. Also to be called for a
        container that could not be started, for the sake of who is attached to it.
        """
        raise NotImplementedError

    async def discard(self, id: str) -> None:  # noqa: A002
        """A container is removed: end followers of its log and attachments that still wait for a start."""
        raise NotImplementedError

    def attach(
        self,
        id: str,  # noqa: A002
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        stream: bool = True,
        detach_keys: str = "",
    ) -> Attachment:
        """Attach to a container, running or not: nothing that it writes from now on is missed.

        logs: its log first. stream False: the log only. Keys count with a terminal and stdin only. Raises
        NotFoundError, BadParameterError for keys of no known form.
        """
        raise NotImplementedError

    def logs(
        self,
        id: str,  # noqa: A002
        *,
        stdout: bool = True,
        stderr: bool = True,
        follow: bool = False,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int = -1,
        timestamps: bool = False,
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Return its log as (1 for stdout or 2 for stderr, text). Close the iterator (aclosing) to stop following.

        Times in ns since 1970, 0: no bound (runtime.engine.service.clock.moment_ns reads what clients send);
        tail: number of lines, -1 for all. Following ends with the container's run. Raises at once, not at the
        first item: NotFoundError, UnavailableError for a container that keeps no log.
        """
        raise NotImplementedError
