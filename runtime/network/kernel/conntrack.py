"""Delete tracked UDP connections when a published port starts or stops leading to a container.

The kernel decides on NAT once per connection, and a UDP connection lasts as long as packets keep coming from
one port to another. A client that never pauses would keep reaching whatever was there first: nothing, or a
container that has ended. Layouts: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Collection, Iterator

from runtime.network.errors import wrap
from runtime.network.kernel.rtnetlink import Rtnetlink, attribute, attributes, messages

_HEAD = struct.Struct("=IHHII")
_GENERIC = struct.Struct("=BBH")
_NETLINK_NETFILTER = 12
_GET, _DELETE = 0x101, 0x102
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_TUPLE, _ZONE, _FILTER = 1, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUM, _DST_PORT = 1, 3
_DST4, _DST6 = 2, 4
_BY_PROTO_NUM, _BY_DST_PORT = 1 << 3, 1 << 5
_RECEIVE = 1 << 17
_IGNORED = (0, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP)
"""The connection has gone, or the kernel does not track connections."""


def forget_udp(ports: Collection[tuple[str, int]]) -> None:
    """Delete connections to ports of the host, each an (address, number); address "" means all of the host's.

    Connections through the host to the same port elsewhere stay. Raises NetworkError.
    """
    if not ports:
        return
    with Rtnetlink() as netlink:
        local = {str(address) for address in netlink.addresses()}
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
        ) as at:
            for address, port in ports:
                for family in (socket.AF_INET, socket.AF_INET6):
                    for target, known in list(_connections(at, family, port)):
                        if target == address or (not address and target in local):
                            _delete(at, family, known)
    except OSError as error:
        raise wrap("delete tracked connections of published ports", error.errno) from error


def _connections(at: socket.socket, family: int, port: int) -> Iterator[tuple[str, dict[int, bytes]]]:
    """Yield (destination, attributes) of UDP connections to a port. Older kernels ignore the filter."""
    number = struct.pack(">H", port)
    protocol = attribute(_PROTO_NUM, bytes([socket.IPPROTO_UDP])) + attribute(_DST_PORT, number)
    wanted = attribute(_TUPLE | _NESTED, attribute(_TUPLE_PROTO | _NESTED, protocol))
    flags = attribute(1, struct.pack("=I", _BY_PROTO_NUM | _BY_DST_PORT))
    _send(at, _GET, _REQUEST | _DUMP, family, wanted + attribute(_FILTER | _NESTED, flags))
    while True:
        for kind, _, body in messages(at.recv(_RECEIVE)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                _raise_for(body)
                return
            known = attributes(body[_GENERIC.size :])
            parts = attributes(known.get(_TUPLE, b""))
            ends, about = attributes(parts.get(_TUPLE_IP, b"")), attributes(parts.get(_TUPLE_PROTO, b""))
            target = ends.get(_DST4) or ends.get(_DST6)
            is_udp = about.get(_PROTO_NUM, b"")[:1] == bytes([socket.IPPROTO_UDP])
            if target and is_udp and about.get(_DST_PORT, b"")[:2] == number:
                yield str(ipaddress.ip_address(target)), known


def _delete(at: socket.socket, family: int, known: dict[int, bytes]) -> None:
    data = attribute(_TUPLE | _NESTED, known[_TUPLE])
    if _ZONE in known:
        data += attribute(_ZONE, known[_ZONE])
    _send(at, _DELETE, _REQUEST | _ACK, family, data)
    for kind, _, body in messages(at.recv(_RECEIVE)):
        if kind == _ERROR:
            _raise_for(body)


def _send(at: socket.socket, kind: int, flags: int, family: int, data: bytes) -> None:
    body = _GENERIC.pack(family, 0, 0) + data
    at.send(_HEAD.pack(_HEAD.size + len(body), kind, flags, 1, 0) + body)


def _raise_for(body: bytes) -> None:
    number = -struct.unpack_from("=i", body)[0]
    if number not in _IGNORED:
        raise OSError(number, os.strerror(number))
