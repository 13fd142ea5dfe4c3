"""Bridges on the host: create, configure, remove, and sweep those of dead processes.

A bridge's alias names its owner. A bridge and its ports share a link group, so one request deletes them all.
"""

from __future__ import annotations

import errno
import socket
import struct
import zlib
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from runtime.network.errors import wrap
from runtime.network.kernel import rtnetlink
from runtime.network.kernel.host_routes import has_link
from runtime.network.kernel.rtnetlink import LinkRow, Rtnetlink
from runtime.network.model import NetworkSpec
from runtime.spawn.owner import Owner

PAIR = "nne"
"""Prefix of the names of veth ends on the host."""
_MAC = "02:4e:"
_CONF = Path("/proc/sys/net")
_AT_ONCE = 64


def group_of(spec: NetworkSpec) -> int:
    """Return the group of a network's bridge and its ports."""
    return _number(spec.id)


def _number(text: str) -> int:
    """Return a group number that nobody else is likely to use."""
    return zlib.crc32(text.encode()) & 0x7FFFFFFF | 0x40000000


def make(netlink: Rtnetlink, spec: NetworkSpec, owner: Owner) -> None:
    """Create a network's bridge, down. Raises NetworkError, also when a link of that name exists."""
    mac = _MAC + struct.pack(">I", owner.pid).hex(":")
    requests = rtnetlink.add_bridge(spec.link, mac, f"nn {owner}", spec.mtu, group_of(spec))
    if has_link(spec.link):  # listing all links is slow when there are hundreds
        _clear_name(netlink, spec.link)
    netlink.ask(requests)


def _clear_name(netlink: Rtnetlink, name: str) -> None:
    """Remove a bridge of this name that a dead process left; any other such link is an error."""
    for row in netlink.links():
        if row.name == name:
            if _owner_is_alive(row) is not False:
                raise wrap(f"make bridge {name}", errno.EEXIST, "a link of this name exists already")
            netlink.ask([rtnetlink.delete_link(name)])


def set_up(netlink: Rtnetlink, spec: NetworkSpec) -> None:
    """Give a bridge its addresses and sysctls, and bring it up. Raises NetworkError."""
    index = socket.if_nametoindex(spec.link)
    ipv6 = _CONF / "ipv6/conf" / spec.link
    if ipv6.exists():
        _write(ipv6 / "accept_ra", "0")
        _write(ipv6 / "disable_ipv6", "0" if spec.subnet6 else "1")
    requests = [rtnetlink.set_up(spec.link)]
    for subnet, gateway in ((spec.subnet, spec.gateway), (spec.subnet6, spec.gateway6)):
        if subnet and gateway:
            requests.append(rtnetlink.add_address(index, gateway, ip_network(subnet).prefixlen))
    netlink.ask(requests)
    ipv4 = _CONF / "ipv4/conf" / spec.link
    _write(ipv4 / "forwarding", "0" if spec.internal else "1")
    _write(ipv4 / "route_localnet", "1")  # published ports are reached at 127.0.0.1


def delete(netlink: Rtnetlink, spec: NetworkSpec) -> None:
    """Remove a bridge and its ports, also of ended containers whose namespaces the kernel still reaps."""
    netlink.ask([rtnetlink.delete_group(group_of(spec))])


def delete_all(netlink: Rtnetlink, specs: Sequence[NetworkSpec], owner: Owner) -> None:
    """Remove all bridges at once, which is faster than one by one."""
    group = _number(str(owner))
    for part in range(0, len(specs), _AT_ONCE):  # the answers must fit the socket's buffer
        netlink.ask([rtnetlink.join_group(spec.link, group) for spec in specs[part : part + _AT_ONCE]])
    if specs:
        netlink.ask([rtnetlink.delete_group(group)])
    for spec in specs:
        delete(netlink, spec)


def sweep() -> list[str]:
    """Remove the bridges, with their ports, that dead processes left; return the links' names."""
    freed = []
    with Rtnetlink() as netlink:
        rows = netlink.links()
        for bridge in (row for row in rows if _owner_is_alive(row) is False):
            ports = [row.name for row in rows if row.master == bridge.number and row.name.startswith(PAIR)]
            netlink.ask([rtnetlink.delete_link(name) for name in (*ports, bridge.name)])
            freed += [*ports, bridge.name]
    return freed


def _owner_is_alive(row: LinkRow) -> bool | None:
    """Say whether the owner of a bridge is alive; None when the link is not one of our bridges."""
    owner = Owner.parse(row.alias) if row.alias.startswith("nn ") else None
    return owner.is_alive() if owner is not None and row.kind == "bridge" else None


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        raise wrap(f"write {value} to {path}", error.errno) from error
