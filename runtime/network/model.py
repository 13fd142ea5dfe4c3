"""What the network room gives and takes: modes, ports, attachments, and networks with names."""

from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal["none", "host", "bridge", "nat"]
BridgedMode = Literal["bridge", "nat"]


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One published port. `host_ip` limits it to one address of the host, None means all of them.

    On named networks `host` may be 0 (a free one is taken) and `host_end` makes it a range whose first free
    port is taken; all of them then means IPv4 and IPv6.
    """

    host: int
    container: int
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str | None = None
    host_end: int = 0


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge of ours: link name and index, its subnet (`10.209.7.0/24`) and its own address in it."""

    name: str
    index: int
    subnet: str
    gateway: str


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """How one container is attached. Give it back with NetworkManager.detach().

    netns_fd: the container's network namespace to setns() to; None in mode `host`. It stays the manager's.
    address, gateway: IPv4, None in modes `none` and `host`. host_link: the host's end of the veth pair.
    """

    mode: Mode
    netns_fd: int | None = None
    address: str | None = None
    prefix_length: int | None = None
    gateway: str | None = None
    host_link: str | None = None
    ports: tuple[Port, ...] = ()


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A bridge to be there. id: 64 hex digits; link: the bridge's name on the host; subnets in CIDR form.

    gateway is the bridge's own address, without prefix length; an empty subnet means none of that family.
    internal: no way out. masquerade: leaves with the host's address. opens: the host is made to forward what
    comes in for it, see runtime.network.opening. icc: whether containers on it reach each other. mtu 0: the
    kernel's default. prefix: how containers' interfaces on it begin, `eth`.
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


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One container on one network. address: without prefix length; interface: its name inside (`eth0`).

    link_local: addresses it has beside, which lead no further. default_route: everything else leaves by this
    one. resolver: the container asks for names at 127.0.0.11, where two sockets listen, which
    NamedNetworks.resolver() hands out.
    """

    network: str
    interface: str
    address: str
    mac: str
    address6: str = ""
    link_local: tuple[str, ...] = ()
    default_route: bool = True
    resolver: bool = False
