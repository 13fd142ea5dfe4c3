"""Taps, made by ioctl on /dev/net/tun: a few system calls, no netlink library, 1 ms.

Every tap has its owner in its alias (`ninetynine vm of PID:START`), so that a sweep finds what a killed run
left even if that run's directory is gone.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from vm.config import VmNetwork
from vm.errors import VmError
from vm.owner import MARK, Owner, parse_mark

PREFIX = "nv"
POINT_TO_POINT = ipaddress.ip_network("10.211.0.0/16")

_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCBRADDIF = 0x8914, 0x8916, 0x891C, 0x89A2
_IFF_UP_RUNNING = 0x41


def add_tap(name: str, network: VmNetwork, owner: Owner) -> None:
    """Make the tap, join it to a bridge or give it an address, bring it up. On an error nothing is left."""
    _persist(name, True)
    try:
        Path(f"/sys/class/net/{name}/ifalias").write_text(f"{MARK}{owner}\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            if network.bridge:
                _join(control, name, network.bridge)
            elif network.host_address:
                _address(control, name, ipaddress.ip_interface(network.host_address))
            _ioctl(
                control,
                _SIOCSIFFLAGS,
                struct.pack("16sH", name.encode(), _IFF_UP_RUNNING),
                f"bring {name} up",
            )
    except BaseException:
        remove_tap(name)
        raise


def remove_tap(name: str) -> None:
    """Remove a tap of ours, if it exists."""
    if Path(f"/sys/class/net/{name}").exists():
        _persist(name, False)


def stale_taps() -> tuple[str, ...]:
    """Return our taps whose owner is dead."""
    found = []
    for name in sorted(n for _, n in socket.if_nameindex() if n.startswith(PREFIX)):
        owner = tap_owner(name)
        if owner is not None and not owner.alive():
            found.append(name)
    return tuple(found)


def tap_owner(name: str) -> Owner | None:
    """Return the owner of a tap; None if it is not ours."""
    try:
        alias = Path(f"/sys/class/net/{name}/ifalias").read_text()
    except OSError:
        return None
    return parse_mark(alias)


def point_to_point(taken: Iterable[ipaddress.IPv4Network] | None = None) -> VmNetwork:
    """Return a /30 of 10.211.0.0/16 that no route of the host overlaps: host .1, guest .2. Raises VmError."""
    routes = list(taken if taken is not None else host_routes(Path("/proc/net/route").read_text()))
    for subnet in POINT_TO_POINT.subnets(new_prefix=30):
        if not any(subnet.overlaps(route) for route in routes):
            host, guest = subnet.hosts()
            return VmNetwork(address=f"{guest}/30", gateway=str(host), host_address=f"{host}/30")
    raise VmError(
        f"find a subnet for a tap: every /30 of {POINT_TO_POINT} is routed; give addresses yourself"
    )


def host_routes(table: str) -> list[ipaddress.IPv4Network]:
    """Return the networks in `/proc/net/route`, without the default route."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        destination, mask = (socket.inet_ntoa(struct.pack("=I", int(fields[i], 16))) for i in (1, 7))
        network = ipaddress.ip_network(f"{destination}/{mask}")
        if isinstance(network, ipaddress.IPv4Network) and network.prefixlen:
            found.append(network)
    return found


def _persist(name: str, on: bool) -> None:
    what = f"{'make' if on else 'remove'} the tap {name}"
    try:
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise VmError(f"{what}: /dev/net/tun: {error.strerror}; it needs root and the tun module") from error
    try:
        request = struct.pack("16sH14x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
        fcntl.ioctl(tun, _TUNSETIFF, request)
        fcntl.ioctl(tun, _TUNSETPERSIST, int(on))
    except OSError as error:
        hint = "a VM still holds it" if error.errno == errno.EBUSY else "it needs CAP_NET_ADMIN"
        raise VmError(f"{what}: {error.strerror}; {hint}") from error
    finally:
        os.close(tun)


def _join(control: socket.socket, name: str, bridge: str) -> None:
    request = struct.pack("16si12x", bridge.encode(), socket.if_nametoindex(name))
    _ioctl(control, _SIOCBRADDIF, request, f"join {name} to the bridge {bridge}")


def _address(
    control: socket.socket, name: str, address: ipaddress.IPv4Interface | ipaddress.IPv6Interface
) -> None:
    for request, value in ((_SIOCSIFADDR, address.ip), (_SIOCSIFNETMASK, address.netmask)):
        body = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, value.packed)
        _ioctl(control, request, body, f"give {name} the address {address}")


def _ioctl(control: socket.socket, request: int, body: bytes, what: str) -> None:
    try:
        fcntl.ioctl(control, request, body.ljust(40, b"\0"))
    except OSError as error:
        raise VmError(
            f"{what}: {error.strerror}; look at `ip link` and at the rights of this process"
        ) from error
