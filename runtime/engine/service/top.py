"""The processes of a container, as the host's `ps` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.engine.service.request import Body

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class Top(Body):
    """A table of processes; a row has as many fields as there are titles."""

    titles: list[str]
    processes: list[list[str]]


async def top(service: Service, ref: str, ps_args: str = "") -> Top:
    """List the processes with `ps` and these arguments (`-ef`), pids being the host's.

    ConflictError when it does not run; BadParameterError for arguments without a column of pids.
    """
    raise NotImplementedError
