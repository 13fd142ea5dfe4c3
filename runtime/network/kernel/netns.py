"""Network namespaces without a name: they exist only as a descriptor, and end when it is closed.

In a new one IPv6 is disabled except for ::1: duplicate address detection would add packets to every
measurement. Networks with IPv6 enable it.
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
    """A new network namespace with `lo` up. Raises NetworkError, for example without root.

    netlink: a socket inside, to configure it without entering it.
    """

    netlink: Rtnetlink

    def __init__(self) -> None:
        self.fd = -1
        self._error: Exception | None = None
        # unshare moves only the calling thread, which then ends, so nothing has to move back.
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
        """Give `link` its address, bring it up, and route everything else through `gateway`."""
        index = self.netlink.index_of(link)
        self.netlink.ask(
            [
                rtnetlink.set_up(link),
                rtnetlink.add_address(index, str(address), subnet.prefixlen),
                rtnetlink.set_default_route(index, str(gateway)),
            ]
        )

    def release(self) -> int:
        """Return the descriptor; the caller owns it from here on, and the socket too."""
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
