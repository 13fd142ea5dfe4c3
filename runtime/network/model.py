"""What the network room gives and takes: modes, ports, attachments."""

from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal["none", "host", "bridge", "nat"]
BridgedMode = Literal["bridge", "nat"]


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One published port. `host_ip` limits it to one address of the host, None means all of them."""

    host: int
    container: int
    protocol: Literal["tcp", "udp"] = "tcp"
    host_ip: str | None = None


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
