"""Hearing from the kernel that somebody has changed the host's routes or taken its nftables away.

Two sockets that are members of a group each; what they say is only looked through for whether to look.
Groups: linux/rtnetlink.h, linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from runtime.network.errors import wrap
from runtime.network.rtnetlink import messages

_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_ROUTES = 1 << 6 | 1 << 10
"""RTNLGRP_IPV4_ROUTE and RTNLGRP_IPV6_ROUTE."""
_TABLES = 1 << 6
"""NFNLGRP_NFTABLES."""
_NEWROUTE, _DELTABLE = 24, 10 << 8 | 2
_RECEIVE = 1 << 16


class HostWatch:
    """Of the network namespace of the thread that makes it. Raises NetworkError."""

    def __init__(self) -> None:
        self._routes = _listener(_NETLINK_ROUTE, _ROUTES)
        self._tables = _listener(_NETLINK_NETFILTER, _TABLES)

    @property
    def fds(self) -> tuple[int, int]:
        """Descriptors that can be read when there may be something to hear."""
        return self._routes.fileno(), self._tables.fileno()

    def has_new_route(self) -> bool:
        """Say whether a route was made since this was asked last."""
        return _heard(self._routes, _NEWROUTE)

    def has_lost_table(self) -> bool:
        """Say whether a table was deleted since this was asked last, anybody's."""
        return _heard(self._tables, _DELTABLE)

    def close(self) -> None:
        """Close the sockets. Idempotent."""
        self._routes.close()
        self._tables.close()


def _listener(protocol: int, groups: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        made.setblocking(False)
        made.bind((0, groups))
    except OSError as error:
        made.close()
        raise wrap("listen for changes of the host's network", error.errno) from error
    return made


def _heard(listener: socket.socket, wanted: int) -> bool:
    """Read all that has come; say whether there was a message of the kind, or one that got lost."""
    found = False
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                data = listener.recv(_RECEIVE)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found = True
            else:
                found = found or any(kind == wanted for kind, _, _ in messages(data))
    return found
