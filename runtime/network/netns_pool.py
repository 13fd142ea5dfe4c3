"""A pool of network namespaces for containers to come, most of them connected to a network already.

Creating one takes a millisecond; a veth pair and the name server's sockets take another. Most also have the
address that will probably be asked for, since addresses are assigned in order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from runtime.network.container_netns import VethPair
from runtime.network.kernel.netns import NetworkNamespace
from runtime.network.kernel.rtnetlink import Rtnetlink

_MOST_NETWORKS = 4
"""How many networks have namespaces in the pool: those used last."""


class _Ready(NamedTuple):
    fd: int
    pair: VethPair | None

    def close(self) -> None:
        if self.pair is not None:
            self.pair.close()
        os.close(self.fd)


class NetnsPool:
    """The pool of one process. All methods raise NetworkError.

    size: how many refill() keeps for each network. plug: connects a namespace (its descriptor, and a socket
    inside that it may keep) to the network of an id and returns the pair; None when that is not up.
    """

    def __init__(self, size: int, plug: Callable[[int, str, Rtnetlink], VethPair | None]) -> None:
        self._size, self._plug = size, plug
        self._ready: dict[str, deque[_Ready]] = {}
        self._given: dict[int, tuple[str, VethPair]] = {}

    def take(self, network: str = "", address: str = "") -> int:
        """Return a namespace for a container on `network` ("": on none); return it with give_back().

        address: the container's on that network.
        """
        ready = self._ready.get(network) or self._ready.get("")
        if ready:
            spare = _pick(ready, address) if address else ready.popleft()
        else:
            spare = _make(lambda _fd, _netlink: None)
        if spare.pair is not None:
            self._given[spare.fd] = network, spare.pair
        return spare.fd

    def addresses(self, network: str) -> set[str]:
        """Return the addresses that a network's waiting namespaces are configured for."""
        found = (spare.pair.configured for spare in self._ready.get(network, ()) if spare.pair is not None)
        return {endpoint.address for endpoint in found if endpoint is not None}

    def claim(self, netns_fd: int) -> tuple[str, VethPair] | None:
        """Return, once, the network and the pair by which a namespace that was taken is connected."""
        return self._given.pop(netns_fd, None)

    def give_back(self, netns_fd: int) -> None:
        """Close a namespace that was taken; the kernel reaps it once nothing runs in it."""
        given = self._given.pop(netns_fd, None)
        _Ready(netns_fd, given and given[1]).close()

    def refill(self, network: str = "", most: int | None = None) -> bool:
        """Create up to `most` for a network; call it outside the start path. True when there are enough."""
        ready = self._ready[network] = self._ready.pop(network, deque())
        while len(self._ready) > _MOST_NETWORKS:
            self.drop(next(iter(self._ready)))
        while len(ready) < self._size and most != 0:
            spare = _make(lambda fd, netlink: self._plug(fd, network, netlink))
            if network and spare.pair is None:  # the network is not up any more
                spare.close()
                self.drop(network)
                return self.refill("", most)
            ready.append(spare)
            most = None if most is None else most - 1
        return len(ready) >= self._size

    def drop(self, network: str) -> None:
        """Close those of one network."""
        for spare in self._ready.pop(network, ()):
            spare.close()

    def close(self) -> None:
        """Close all that nobody has taken. Idempotent."""
        for network in list(self._ready):
            self.drop(network)
        while self._given:
            self._given.popitem()[1][1].close()


def _pick(ready: deque[_Ready], address: str) -> _Ready:
    for place, (_, pair) in enumerate(ready):
        if pair is not None and pair.configured is not None and pair.configured.address == address:
            spare = ready[place]
            del ready[place]
            return spare
    return ready.popleft()


def _make(plug: Callable[[int, Rtnetlink], VethPair | None]) -> _Ready:
    namespace = NetworkNamespace()
    pair = None
    try:
        pair = plug(namespace.fd, namespace.netlink)
        return _Ready(namespace.release(), pair)
    finally:
        if pair is None:
            namespace.netlink.close()
        namespace.close()
