"""Structs of the network package: modes, ports, attachments, networks, endpoints."""

from __future__ import annotations

from typing import Literal

import msgspec

BridgedMode = Literal["bridge", "nat"]
BRIDGED = ("bridge", "nat")


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One published port. host_ip: one address of the host, None for all, IPv4 and IPv6.

    host 0: any free port. host_end: `host` to `host_end` is a range, and its first free port is taken.
    """

    host: int
    container: int
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str | None = None
    host_end: int = 0


class NetworkAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """A container's network namespace. Return it with NetworkModes.detach().

    network: as asked for. netns_fd: for setns(); NetworkModes keeps owning it. address: IPv4, None without a
    bridge. holder: under which name the address is taken. ports: as bound, see BridgeNetworks.attach().
    """

    network: str
    netns_fd: int
    holder: str = ""
    address: str | None = None
    ports: tuple[Port, ...] = ()


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A bridge network. id: 64 hex digits; link: the bridge's name on the host; subnets in CIDR form.

    gateway: the bridge's own address, without prefix length. An empty subnet: none of that family.
    internal: no way out. masquerade: packets leave with the host's address. opens: the host forwards packets
    to it, see host/forwarding.py. icc: whether its containers reach each other. mtu 0: the kernel's default.
    prefix: of its interfaces' names in containers (`eth`). names: its containers resolve names at
    127.0.0.11; BridgeNetworks.resolver() returns the two sockets that listen there.
    """

    id: str
    link: str
    subnet: str
    gateway: str
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    masquerade: bool = True
    opens: bool = True
    icc: bool = True
    mtu: int = 0
    prefix: str = "eth"
    names: bool = False


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One container on one network. address: without prefix length; interface: its name inside (`eth0`).

    link_local: further addresses, not routed. default_route: other traffic leaves through this endpoint.
    """

    network: str
    interface: str
    address: str
    mac: str
    address6: str = ""
    link_local: tuple[str, ...] = ()
    default_route: bool = True


class Serve(msgspec.Struct, frozen=True):
    """An order to the relay: serve the socket sent with it, or (address "") stop serving that of the key."""

    key: int
    address: str = ""
    port: int = 0
