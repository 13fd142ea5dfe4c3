"""Networks with names, as the spawner makes them: bridges, pairs, addresses, rules, held ports. No policy.

Who calls says which subnet, address and name; here it is made, and taken away again. One thread only.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.spawn.owner import Owner


class NamedNetworks:
    """All named networks of one process. All methods raise NetworkError; nothing stays of a failure.

    container: any text that names a container, the same in all calls. netns_fd: the container's network
    namespace; it stays the caller's, and may be closed after the call.
    """

    def __init__(self, owner: Owner | None = None) -> None:
        raise NotImplementedError

    def up(self, spec: NetworkSpec) -> None:
        """Make the bridge and its rules unless they are there; another spec of the same id replaces them."""
        raise NotImplementedError

    def down(self, id: str) -> None:  # noqa: A002
        """Remove a network's bridge and rules. Unknown ids are fine."""
        raise NotImplementedError

    def attach(
        self, container: str, netns_fd: int, endpoints: Sequence[Endpoint], ports: Sequence[Port] = ()
    ) -> tuple[Port, ...]:
        """Plug a container that is about to start into its networks (all are up), and publish its ports.

        Returns the ports as bound: host filled in, host_end 0. Without endpoints nothing is published.
        """
        raise NotImplementedError

    def connect(self, container: str, netns_fd: int, endpoint: Endpoint) -> Endpoint:
        """Plug a running container into one more network; return the endpoint as made.

        An interface of this name that is there already only gets the default route (endpoint.default_route).
        """
        raise NotImplementedError

    def disconnect(self, container: str, netns_fd: int, endpoint: Endpoint) -> Endpoint:
        """Take a running container off a network, with its published ports there. Not connected is fine."""
        raise NotImplementedError

    def resolver(self, container: str) -> tuple[int, ...]:
        """Return the descriptors of the sockets at 127.0.0.11 inside (UDP, listening TCP), () without one.

        They stay ours; release() closes them.
        """
        raise NotImplementedError

    def release(self, container: str) -> None:
        """Free what a container that has ended still holds: ports, names' sockets. Idempotent, unknown is fine."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove all networks and rules, and put the host's settings back. Idempotent."""
        raise NotImplementedError


def sweep() -> list[str]:
    """Remove bridges and tables that dead processes left, put back settings; return what was freed."""
    raise NotImplementedError
