"""Listen to the kernel's notifications of new routes and deleted nftables tables.

Netlink multicast groups: linux/rtnetlink.h, linux/netfilter/nfnetlink.h. A notification only says that
something changed; callers look at the state themselves.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable

from runtime.network.kernel.rtnetlink import messages

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_ROUTES = 1 << 6 | 1 << 10
"""RTNLGRP_IPV4_ROUTE and RTNLGRP_IPV6_ROUTE."""
_TABLES = 1 << 6
"""NFNLGRP_NFTABLES."""
_NEWROUTE, _DELTABLE = 24, 10 << 8 | 2
_TABLE_OF_ROUTE, _RT_MAIN = 4, 254
_RECEIVE = 1 << 16


class ChangeListener:
    """Listens for one kind of change in the creating thread's network namespace. fd: to wait on."""

    def __init__(self, protocol: int, groups: int, wanted: Callable[[int, bytes], bool]) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setblocking(False)
        self._socket.bind((0, groups))
        self.fd = self._socket.fileno()
        self._wanted = wanted
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def has_changed(self) -> bool:
        """Say whether there was a change since the last call, or a notification may have been lost."""
        found = False
        while self._poll.poll(0):
            try:
                data = self._socket.recv(_RECEIVE)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found = True
            else:
                found = found or any(self._wanted(kind, body) for kind, _, body in messages(data))
        return found

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()


def new_routes() -> ChangeListener:
    """Listen for new routes in the main table. Raises OSError."""
    return ChangeListener(
        _NETLINK_ROUTE, _ROUTES, lambda kind, body: kind == _NEWROUTE and body[_TABLE_OF_ROUTE] == _RT_MAIN
    )


def lost_tables() -> ChangeListener:
    """Listen for deleted nftables tables, anybody's. Raises OSError."""
    return ChangeListener(_NETLINK_NETFILTER, _TABLES, lambda kind, _: kind == _DELTABLE)
