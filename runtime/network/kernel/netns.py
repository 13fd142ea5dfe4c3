"""Network namespaces without a name: an fd is all there is of them, and closing it ends them.

IPv6 is off on the links of a new one, but for ::1: its duplicate address detection would put packets of its
own into everybody's measurement. Networks that have it switch it on.
"""

from __future__ import annotations

import ctypes
import os
import threading
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from runtime.network.errors import NetworkError, wrap
from runtime.network.kernel import rtnetlink
from runtime.network.kernel.rtnetlink import Rtnetlink

_CLONE_NEWNET = 0x40000000


class NetworkNamespace:
    """A new network namespace with `lo` up. Raises NetworkError, without root for one.

    netlink: a socket inside, with which it is configured without being entered.
    """

    netlink: Rtnetlink

    def __init__(self) -> None:
        self.fd = -1
        self._error: Exception | None = None
        # unshare moves only the calling thread, which ends right after: there is no way back that could fail.
        thread = threading.Thread(target=self._enter, name="nn-netns")
        thread.start()
        thread.join()
        if self._error is not None:
            self.close()
            if isinstance(self._error, OSError):
                raise wrap("make a network namespace", self._error.errno) from self._error
            raise self._error

    def _enter(self) -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWNET) < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.netlink = Rtnetlink()
            switch = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
            if switch.exists():
                switch.write_text("1")
            self.netlink.ask([rtnetlink.set_up("lo")])
        except (OSError, NetworkError) as error:
            self._error = error

    def configure(self, link: str, address: IPv4Address, subnet: IPv4Network, gateway: IPv4Address) -> None:
        """Give `link` its address, bring it up, and send everything else to `gateway`."""
        index = self.netlink.index_of(link)
        self.netlink.ask(
            [
                rtnetlink.set_up(link),
                rtnetlink.add_address(index, str(address), subnet.prefixlen),
                rtnetlink.set_default_route(index, str(gateway)),
            ]
        )

    def release(self) -> int:
        """Hand out the fd, which belongs to the caller from here on; so does the socket."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            raise NetworkError(
                "network namespace was released already; this is a bug of ninetynine, report it"
            )
        return fd

    def close(self) -> None:
        """End the namespace. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if hasattr(self, "netlink"):
                self.netlink.close()
