"""Network namespaces that wait for their containers, most of them plugged into a network already.

To make one takes a millisecond, a pair and the sockets for names another. Most have guessed the address that
they will be asked for, too, since addresses are given out in turn.
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
"""For how many networks there are some; those that were asked for last."""


class _Spare(NamedTuple):
    fd: int
    pair: VethPair | None

    def close(self) -> None:
        if self.pair is not None:
            self.pair.close()
        os.close(self.fd)


class NetnsPool:
    """Those of one process. All methods raise NetworkError.

    size: how many refill() makes for each network. plug: makes the pair of a namespace (its fd, and a socket
    inside that it may keep) on the network of an id, None when that is not up.
    """

    def __init__(self, size: int, plug: Callable[[int, str, Rtnetlink], VethPair | None]) -> None:
        self._size, self._plug = size, plug
        self._ready: dict[str, deque[_Spare]] = {}
        self._given: dict[int, tuple[str, VethPair]] = {}

    def take(self, network: str = "", address: str = "") -> int:
        """Return a namespace for a container on `network` ("": on none), which give_back() takes back.

        address: which it will have there.
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
        """Return the addresses that those of a network have guessed."""
        guesses = (spare.pair.guess for spare in self._ready.get(network, ()) if spare.pair is not None)
        return {one.address for one in guesses if one is not None}

    def claim(self, netns_fd: int) -> tuple[str, VethPair] | None:
        """Return the network and the pair by which a namespace that was taken is plugged in, once."""
        return self._given.pop(netns_fd, None)

    def give_back(self, netns_fd: int) -> None:
        """End a namespace that was taken; the kernel reaps it once nothing runs in there."""
        given = self._given.pop(netns_fd, None)
        _Spare(netns_fd, given and given[1]).close()

    def refill(self, network: str = "", most: int | None = None) -> bool:
        """Make up to `most` ready for a network; call it outside the start path. True: there are enough."""
        ready = self._ready[network] = self._ready.pop(network, deque())
        while len(self._ready) > _MOST_NETWORKS:
            self.drop(next(iter(self._ready)))
        while len(ready) < self._size and most != 0:
            spare = _make(lambda fd, netlink: self._plug(fd, network, netlink))
            if network and spare.pair is None:  # it is not up any more
                spare.close()
                self.drop(network)
                return self.refill("", most)
            ready.append(spare)
            most = None if most is None else most - 1
        return len(ready) >= self._size

    def drop(self, network: str) -> None:
        """End those of one network."""
        for spare in self._ready.pop(network, ()):
            spare.close()

    def close(self) -> None:
        """End all that nobody has taken. Idempotent."""
        for network in list(self._ready):
            self.drop(network)
        while self._given:
            self._given.popitem()[1][1].close()


def _pick(ready: deque[_Spare], address: str) -> _Spare:
    for place, (_, pair) in enumerate(ready):
        if pair is not None and pair.guess is not None and pair.guess.address == address:
            spare = ready[place]
            del ready[place]
            return spare
    return ready.popleft()


def _make(plug: Callable[[int, Rtnetlink], VethPair | None]) -> _Spare:
    namespace = NetworkNamespace()
    pair = None
    try:
        pair = plug(namespace.fd, namespace.netlink)
        return _Spare(namespace.release(), pair)
    finally:
        if pair is None:
            namespace.netlink.close()
        namespace.close()
