"""The few rtnetlink requests that a container's start needs, several in one message.

pyroute2 can do the same, but takes 0.2 s to import and three times as long per container
(tests/studies/netlink.py). Layouts: linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from runtime.network.errors import wrap

_HEAD = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 17, 18, 20, 21, 22
_NEWROUTE = 24
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
_UP = 0x1
_NODAD = 0x02
_RT_MAIN, _RTPROT_STATIC, _RT_UNIVERSE, _RTN_UNICAST = 254, 4, 0, 1

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD = 20, 26, 27, 28
_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 8, b"\1"
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER, _BR_STP_STATE = 1, 5
_PORT_LEARNING, _PORT_FLOOD, _PORT_FLUSH, _PORT_MCAST_FLOOD, _PORT_BCAST_FLOOD = 8, 9, 24, 27, 30
_PORT_HAIRPIN, _PORT_ISOLATED = 4, 33

_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10
_RECEIVE = 1 << 16


class Request(NamedTuple):
    """One request. operation: its name in errors; forgive: errnos that count as success."""

    operation: str
    kind: int
    flags: int
    body: bytes
    forgive: tuple[int, ...] = ()


class LinkRow(NamedTuple):
    """A link. alias and address: "" when it has none; master: index of its bridge, or 0."""

    name: str
    number: int
    kind: str
    alias: str
    address: str
    master: int


class Rtnetlink:
    """A socket in the creating thread's network namespace. Not thread-safe."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._serial = 0

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()

    def __enter__(self) -> Rtnetlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, requests: Sequence[Request]) -> None:
        """Send all in one message. NetworkError for the first that failed; the others are carried out."""
        if not requests:
            return
        first = self._serial + 1
        data = b"".join(
            self._frame(request.kind, _REQUEST | _ACK | request.flags, request.body) for request in requests
        )
        self._socket.send(data)
        failed: tuple[int, int] | None = None
        waiting = len(requests)
        while waiting:
            for kind, serial, body in messages(self._socket.recv(_RECEIVE)):
                if kind != _ERROR or not first <= serial < first + len(requests):
                    continue
                waiting -= 1
                number = -struct.unpack_from("=i", body)[0]
                if number and failed is None and number not in requests[serial - first].forgive:
                    failed = serial - first, number
        if failed is not None:
            raise wrap(requests[failed[0]].operation, failed[1])

    def links(self) -> list[LinkRow]:
        """List all links of the namespace."""
        return [_row(body) for body in self._dump(_GETLINK, _NEWLINK, _LINK.pack(0, 0, 0, 0, 0))]

    def index_of(self, name: str) -> int:
        """Return the index of a link."""
        for row in self.links():
            if row.name == name:
                return row.number
        raise wrap(f"find link {name}", errno.ENODEV)

    def addresses(self) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        """List all addresses of the namespace's links."""
        found = []
        for body in self._dump(_GETADDR, _NEWADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            known = attributes(body[_ADDRESS.size :])
            packed = known.get(_IFA_LOCAL) or known.get(_IFA_ADDRESS)
            if packed:
                found.append(ipaddress.ip_address(packed))
        return found

    def _dump(self, request: int, reply: int, body: bytes) -> Iterator[bytes]:
        """Yield the bodies of all replies of the kind `reply`."""
        self._socket.send(self._frame(request, _REQUEST | _DUMP, body))
        while True:
            for kind, serial, one in messages(self._socket.recv(_RECEIVE)):
                if serial != self._serial:
                    continue
                if kind == _DONE:
                    return
                if kind == reply:
                    yield one

    def _frame(self, kind: int, flags: int, body: bytes) -> bytes:
        self._serial += 1
        return _HEAD.pack(_HEAD.size + len(body), kind, flags, self._serial, 0) + _pad(body)


# ---- links ------------------------------------------------------------------------------------------------


def add_bridge(name: str, mac: str, alias: str, mtu: int, group: int) -> list[Request]:
    """Create a bridge, down, without spanning tree; an existing one of this name is an error (EEXIST).

    group: a number above 0 that it shares with its ports, see delete_group().
    """
    data = attribute(_BR_STP_STATE, struct.pack("=I", 0))
    body = _link_named(name) + attribute(_IFLA_ADDRESS, _mac(mac)) + _mtu(mtu) + _group(group)
    body += _info("bridge", data)
    return [
        Request(f"make bridge {name}", _NEWLINK, _CREATE | _EXCL, body),
        Request(
            f"name the owner of bridge {name}", _NEWLINK, 0, _link_named(name) + _text(_IFLA_IFALIAS, alias)
        ),
    ]


def add_veth(name: str, bridge: int, group: int, mtu: int, peer: str, netns_fd: int) -> list[Request]:
    """Create a veth pair: `name` here, up on the bridge of this index, and `peer` in the namespace, down.

    A bridge port needs no IPv6 address of its own; its packets would reach everybody on the bridge.
    """
    inner = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, peer)
    inner += attribute(_IFLA_NET_NS_FD, struct.pack("=I", netns_fd)) + _mtu(mtu)
    body = _link_named(name) + _mtu(mtu) + _group(group)
    body += attribute(_IFLA_MASTER, struct.pack("=I", bridge)) + _info("veth", attribute(_VETH_PEER, inner))
    own = attribute(socket.AF_INET6, attribute(_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE))
    return [
        Request(f"make veth {name} for {peer}", _NEWLINK, _CREATE | _EXCL, body),
        Request(
            f"keep {name} without IPv6",
            _NEWLINK,
            0,
            _link_named(name) + attribute(_IFLA_AF_SPEC, own),
            (errno.EAFNOSUPPORT,),  # the kernel has no IPv6
        ),
        set_up(name),
    ]


def set_mac(index: int, mac: str) -> Request:
    """Set a link's hardware address, and bring it up."""
    body = _LINK.pack(0, 0, index, _UP, _UP) + attribute(_IFLA_ADDRESS, _mac(mac))
    return Request(f"set a link's hardware address to {mac}", _NEWLINK, 0, body)


def isolate(name: str) -> Request:
    """Isolate a bridge port from other isolated ports."""
    return Request(f"isolate {name}", _NEWLINK, 0, _port(name, attribute(_PORT_ISOLATED, b"\1")))


def set_hairpin(name: str) -> Request:
    """Set a bridge port to hairpin mode, so that a container reaches a published port of its own.

    Needed where br_netfilter is loaded (dockerd does it), which makes NAT happen within the bridge.
    """
    return Request(f"set {name} to hairpin mode", _NEWLINK, 0, _port(name, attribute(_PORT_HAIRPIN, b"\1")))


def silence(name: str) -> Request:
    """Stop all flooding to a bridge port at once, and forget the addresses behind it.

    The container behind it then receives no ARP request, and cannot answer for its old address. Disabling the
    port does not work: a bridge without spanning tree sets its ports back to forwarding.
    """
    switches = (_PORT_LEARNING, _PORT_FLOOD, _PORT_MCAST_FLOOD, _PORT_BCAST_FLOOD)
    data = b"".join(attribute(switch, b"\0") for switch in switches) + attribute(_PORT_FLUSH, b"")
    return Request(f"silence {name}", _NEWLINK, 0, _port(name, data), (errno.ENODEV, errno.EINVAL))


def set_up(name: str) -> Request:
    """Bring a link up."""
    body = _LINK.pack(0, 0, 0, _UP, _UP) + _text(_IFLA_IFNAME, name)
    return Request(f"bring {name} up", _NEWLINK, 0, body)


def delete_link(name: str) -> Request:
    """Delete a link, and with it its peer. A missing link is ignored."""
    return Request(f"delete link {name}", _DELLINK, 0, _link_named(name), (errno.ENODEV,))


def join_group(name: str, group: int) -> Request:
    """Move a link into another group. A missing link is ignored."""
    body = _link_named(name) + _group(group)
    return Request(f"move {name} into group {group}", _NEWLINK, 0, body, (errno.ENODEV,))


def delete_group(group: int) -> Request:
    """Delete all links of a group at once, which takes no longer than deleting one."""
    body = _LINK.pack(0, 0, 0, 0, 0) + _group(group)
    return Request(f"delete links of group {group}", _DELLINK, 0, body, (errno.ENODEV,))


# ---- addresses and routes ---------------------------------------------------------------------------------


def add_address(index: int, address: str, prefix: int) -> Request:
    """Add an address to a link; IPv6 without duplicate address detection, so usable at once."""
    ip = ipaddress.ip_address(address)
    head = _ADDRESS.pack(_family(ip), prefix, _NODAD if ip.version == 6 else 0, 0, index)
    body = head + attribute(2, ip.packed) + attribute(1, ip.packed)
    if ip.version == 4 and prefix < 31:
        network = ipaddress.ip_network((address, prefix), strict=False)
        body += attribute(4, network.broadcast_address.packed)
    return Request(f"add address {address}/{prefix}", _NEWADDR, _CREATE | _EXCL, body)


def drop_address(index: int, address: str, prefix: int) -> Request:
    """Remove an address, with its routes, from a link."""
    ip = ipaddress.ip_address(address)
    body = _ADDRESS.pack(_family(ip), prefix, 0, 0, index) + attribute(_IFA_LOCAL, ip.packed)
    return Request(f"remove address {address}", _DELADDR, 0, body)


def set_default_route(index: int, gateway: str) -> Request:
    """Set the default route to `gateway`, replacing the one before."""
    ip = ipaddress.ip_address(gateway)
    body = _route_head(ip) + attribute(5, ip.packed) + attribute(4, struct.pack("=I", index))
    return Request(f"set the default route to {gateway}", _NEWROUTE, _CREATE | _REPLACE, body)


# ---- encoding ---------------------------------------------------------------------------------------------


def _route_head(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    return _ROUTE.pack(_family(ip), 0, 0, 0, _RT_MAIN, _RTPROT_STATIC, _RT_UNIVERSE, _RTN_UNICAST, 0)


def _family(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    return socket.AF_INET if ip.version == 4 else socket.AF_INET6


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + _pad(value)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, os.fsencode(value) + b"\0")


def _mtu(mtu: int) -> bytes:
    return attribute(_IFLA_MTU, struct.pack("=I", mtu)) if mtu else b""


def _group(group: int) -> bytes:
    return attribute(_IFLA_GROUP, struct.pack("=I", group))


def _info(kind: str, data: bytes) -> bytes:
    return attribute(_IFLA_LINKINFO, _text(_INFO_KIND, kind) + attribute(_INFO_DATA, data))


def _port(name: str, data: bytes) -> bytes:
    info = _text(_INFO_SLAVE_KIND, "bridge") + attribute(_INFO_SLAVE_DATA, data)
    return _link_named(name) + attribute(_IFLA_LINKINFO, info)


def _link_named(name: str) -> bytes:
    return _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)


def _mac(text: str) -> bytes:
    return bytes(int(part, 16) for part in text.split(":"))


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# ---- decoding ---------------------------------------------------------------------------------------------


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type, serial, body) of each message."""
    place = 0
    while place + _HEAD.size <= len(data):
        length, kind, _, serial, _ = _HEAD.unpack_from(data, place)
        yield kind, serial, data[place + _HEAD.size : place + length]
        place += (length + 3) & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Decode a sequence of attributes."""
    found, place = {}, 0
    while place + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[place + _ATTRIBUTE.size : place + length]
        place += (length + 3) & ~3
    return found


def _row(body: bytes) -> LinkRow:
    index = _LINK.unpack_from(body)[2]
    found = attributes(body[_LINK.size :])
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    master = found.get(_IFLA_MASTER)
    return LinkRow(
        name=_string(found.get(_IFLA_IFNAME)),
        number=index,
        kind=_string(info.get(_INFO_KIND)),
        alias=_string(found.get(_IFLA_IFALIAS)),
        address=found.get(_IFLA_ADDRESS, b"").hex(":"),
        master=struct.unpack("=I", master)[0] if master else 0,
    )


def _string(value: bytes | None) -> str:
    return os.fsdecode((value or b"").rstrip(b"\0"))
