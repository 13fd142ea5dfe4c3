"""Network namespaces without a name: an fd is all there is of them, and closing it ends them.

What is inside is set by ioctl on a socket that was opened there: 10 µs for what takes a netlink library 2 ms,
which counts when a pool is refilled beside running measurements. IPv4 only, but for ::1: IPv6 is off on links
for its duplicate address detection would put packets of its own into everybody's measurement.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from runtime.network.errors import NetworkError, wrap

_CLONE_NEWNET = 0x40000000
_SIOCADDRT, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x890B, 0x8914, 0x8916, 0x891C
_UP_RUNNING, _ROUTE_UP_GATEWAY = 0x41, 0x3


class NetworkNamespace:
    """A new network namespace with `lo` up. Raises NetworkError, without root for one."""

    def __init__(self) -> None:
        self.fd = -1
        self._socket: socket.socket | None = None
        self._error: OSError | None = None
        # unshare moves only the calling thread, which ends right after: there is no way back that could fail.
        thread = threading.Thread(target=self._enter, name="nn-netns")
        thread.start()
        thread.join()
        if self._error is not None:
            self.close()
            raise wrap("make a network namespace", self._error.errno) from self._error

    def _enter(self) -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWNET) < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            switch = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
            if switch.exists():
                switch.write_text("1")
            self._ioctl(_SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP_RUNNING))
        except OSError as error:
            self._error = error

    def _ioctl(self, request: int, data: bytes) -> None:
        assert self._socket is not None
        fcntl.ioctl(self._socket, request, data)

    def configure(self, link: str, address: IPv4Address, subnet: IPv4Network, gateway: IPv4Address) -> None:
        """Give `link` its address, bring it up, and send everything else to `gateway`."""
        name = link.encode()
        try:
            self._ioctl(_SIOCSIFADDR, struct.pack("16s16s8x", name, _sockaddr(address)))
            self._ioctl(_SIOCSIFNETMASK, struct.pack("16s16s8x", name, _sockaddr(subnet.netmask)))
            self._ioctl(_SIOCSIFFLAGS, struct.pack("16sH14x", name, _UP_RUNNING))
            self._ioctl(_SIOCADDRT, _default_route(gateway))
        except OSError as error:
            raise wrap(f"configure {link} with {address} via {gateway}", error.errno) from error

    def release(self) -> int:
        """Close the inner socket and hand out the fd, which belongs to the caller from here on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        fd, self.fd = self.fd, -1
        if fd < 0:
            raise NetworkError(
                "network namespace was released already; this is a bug of ninetynine, report it"
            )
        return fd

    def close(self) -> None:
        """End the namespace. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _sockaddr(address: IPv4Address) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address.packed)


def _default_route(gateway: IPv4Address) -> bytes:
    """Build struct rtentry (64-bit layout) of `default via gateway`."""
    anywhere = _sockaddr(IPv4Address(0))
    return struct.pack(
        "@L16s16s16sHhLPhPLLH",
        *(0, anywhere, _sockaddr(gateway), anywhere),
        *(_ROUTE_UP_GATEWAY, 0, 0, 0, 0, 0, 0, 0, 0),
    )
