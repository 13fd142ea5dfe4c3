"""The networks of a daemon: what they are, who is on them, and which addresses and names that gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.engine.service.filters import Filters
from runtime.engine.service.record import ContainerRecord
from runtime.engine.service.request import EndpointSettings, PortBinding
from runtime.network.model import Endpoint, Port

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

NetworkView = Any
NetworkCreate = Any


class Networks:
    """All networks. Used in the loop only. `ref`: a name, an id, or its unique start.

    Construct with the Service, then `await open()` once the spawner is there; `await close()` at the end (leaves
    bridges to the spawner). Implements parts.NetworksPart.
    """

    def __init__(self, service: Service) -> None:
        raise NotImplementedError

    async def open(self) -> None:
        """Read networks/*.json; make bridge, host and none at the first time."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop answering for names. The bridges are the spawner's."""
        raise NotImplementedError

    # ---- for the containers' life (parts.NetworksPart) --------------------------------------------------

    async def check(self, record: ContainerRecord) -> dict[str, EndpointSettings]:
        """Refuse networks or addresses that cannot be; return all its networks by name, ids set."""
        raise NotImplementedError

    async def endpoints_for(
        self, record: ContainerRecord
    ) -> tuple[tuple[Endpoint, ...], tuple[Port, ...], dict[str, EndpointSettings]]:
        """Take addresses for a start; bridges are up afterwards."""
        raise NotImplementedError

    async def started(self, record: ContainerRecord) -> None:
        """It runs: names resolve from now. Also for an adopted container, whose addresses are in its record."""
        raise NotImplementedError

    async def release(self, record: ContainerRecord) -> None:
        """It has ended: its addresses and names are free. Idempotent."""
        raise NotImplementedError

    def files_for(self, record: ContainerRecord) -> dict[str, bytes]:
        """Return the contents of `hosts` and `resolv.conf`; call it after endpoints_for."""
        raise NotImplementedError

    # ---- for clients ------------------------------------------------------------------------------------

    async def create(self, request: NetworkCreate) -> str:
        """Make a network; return its id."""
        raise NotImplementedError

    def list(self, filters: Filters | None = None) -> list[NetworkView]:
        """Return those that fit, by creation."""
        raise NotImplementedError

    def inspect(self, ref: str) -> NetworkView:
        """Return one network with its running containers."""
        raise NotImplementedError

    async def remove(self, ref: str) -> None:
        """Remove a network nobody is on."""
        raise NotImplementedError

    async def prune(self, filters: Filters | None = None) -> list[str]:
        """Remove networks that no container uses; return their names."""
        raise NotImplementedError

    async def connect(self, ref: str, container: str, settings: EndpointSettings | None = None) -> None:
        """Put a container on one more network, running or not."""
        raise NotImplementedError

    async def disconnect(self, ref: str, container: str, *, force: bool = False) -> None:
        """Take a container off a network."""
        raise NotImplementedError


def port_bindings(ports: tuple[Port, ...]) -> dict[str, list[PortBinding]]:
    """Say bound ports as `NetworkSettings.Ports`: `80/tcp` → where on the host; all addresses are two bindings."""
    raise NotImplementedError
