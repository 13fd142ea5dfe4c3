"""Bridges of the host: made, set up, removed, and swept when their makers are dead.

A bridge says in its alias whose it is, and shares a group with its ports, by which all go at once.
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
"""How the host's ends of pairs begin."""
_MAC = "02:4e:"
_CONF = Path("/proc/sys/net")
_AT_ONCE = 64


def group_of(spec: NetworkSpec) -> int:
    """Return the group of a network's bridge and its ports."""
    return _number(spec.id)


def _number(text: str) -> int:
    """Return a group's number that nobody else is likely to have."""
    return zlib.crc32(text.encode()) & 0x7FFFFFFF | 0x40000000


def make(netlink: Rtnetlink, spec: NetworkSpec, owner: Owner) -> None:
    """Make a network's bridge, down. Raises NetworkError, also where there is a link of that name."""
    mac = _MAC + struct.pack(">I", owner.pid).hex(":")
    requests = rtnetlink.add_bridge(spec.link, mac, f"nn {owner}", spec.mtu, group_of(spec))
    if has_link(spec.link):  # to list them all is slow where there are hundreds
        _make_way(netlink, spec.link)
    netlink.ask(requests)


def _make_way(netlink: Rtnetlink, name: str) -> None:
    """Remove a bridge that a dead process left; another link of that name is an error."""
    for row in netlink.links():
        if row.name == name:
            if _owner_is_alive(row) is not False:
                raise wrap(f"make bridge {name}", errno.EEXIST, "a link of this name is there already")
            netlink.ask([rtnetlink.delete_link(name)])


def set_up(netlink: Rtnetlink, spec: NetworkSpec) -> None:
    """Give a bridge its addresses and switches, and bring it up. Raises NetworkError."""
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
    _write(ipv4 / "route_localnet", "1")  # a published port is reached by 127.0.0.1


def delete(netlink: Rtnetlink, spec: NetworkSpec) -> None:
    """Remove a bridge with its ports: also of ended containers, whose namespaces are not reaped yet."""
    netlink.ask([rtnetlink.delete_group(group_of(spec))])


def delete_all(netlink: Rtnetlink, specs: Sequence[NetworkSpec], owner: Owner) -> None:
    """Remove all bridges at once, which takes the kernel less time than one by one."""
    group = _number(str(owner))
    for part in range(0, len(specs), _AT_ONCE):  # the answers wait in a buffer
        netlink.ask([rtnetlink.join_group(spec.link, group) for spec in specs[part : part + _AT_ONCE]])
    if specs:
        netlink.ask([rtnetlink.delete_group(group)])
    for spec in specs:
        delete(netlink, spec)


def sweep() -> list[str]:
    """Remove bridges, with their ports, that dead processes left; return the names of the links."""
    freed = []
    with Rtnetlink() as netlink:
        rows = netlink.links()
        for bridge in (row for row in rows if _owner_is_alive(row) is False):
            ports = [row.name for row in rows if row.master == bridge.number and row.name.startswith(PAIR)]
            netlink.ask([rtnetlink.delete_link(name) for name in (*ports, bridge.name)])
            freed += [*ports, bridge.name]
    return freed


def _owner_is_alive(row: LinkRow) -> bool | None:
    """Say whether who made a bridge of this kind is alive, None when it is none of ours."""
    owner = Owner.parse(row.alias) if row.alias.startswith("nn ") else None
    return owner.is_alive() if owner is not None and row.kind == "bridge" else None


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        raise wrap(f"write {value} to {path}", error.errno) from error
