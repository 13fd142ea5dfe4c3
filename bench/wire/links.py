"""The two ends of the wire: create, address, shape, count, remove and sweep them by rtnetlink.

The host's end `nwh<k>` names its owner in its alias and uses 10.210.<k>.0/24. Link names are unique, so the
name reserves the subnet against other processes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from bench.backends.base import BackendError
from runtime.network.kernel.netns import NetworkNamespace
from runtime.spawn.owner import Owner

RANGE = IPv4Network("10.210.0.0/16")
PEER_LINK = "eth0"
_NAME = re.compile(r"nwh\d+")
_CLONE_NEWNET = 0x40000000
_ROOT, _HANDLE = 0xFFFFFFFF, 0x10000
_CONF = Path("/proc/sys/net")

BURST_S = 0.001
"""A token bucket of one millisecond: longer than timers are late on a busy virtual machine, so the rate is
reached, and far shorter than a slice, so it is not exceeded."""

_MIN_BURST = 128 << 10
"""Two packets of the largest size that segmentation offload produces."""

QUEUE_S = 0.004
"""The queue's length, as time at the rate: enough for one TCP stream to fill the wire."""


class WireError(BackendError):
    """The wire could not be opened, shaped or used: names the operation, the cause, and what to do next."""


class WireLinks:
    """Both ends. Raises WireError; on failure nothing is left."""

    def __init__(self, owner: Owner, namespace: NetworkNamespace) -> None:
        from pyroute2 import IPRoute  # takes 0.2 s to import, needed by the network family only

        self._ip = IPRoute()
        self._namespace = namespace
        self.name = ""
        try:
            self.name, subnet = self._claim(owner)
            self.host, self.peer = subnet[1], subnet[2]
            self._index = self._ip.link_lookup(ifname=self.name)[0]
            self._set_up(owner, subnet)
        except Exception as error:
            self.close()
            raise _worded("make the wire", error) from error

    def shape(self, bits_per_s: int | None) -> None:
        """Shape both ends to a rate, or to none."""
        try:
            _set_rate(self._ip, self._index, bits_per_s)
            self._inside(lambda ip: _set_rate(ip, ip.link_lookup(ifname=PEER_LINK)[0], bits_per_s))
        except Exception as error:
            raise _worded(f"shape {self.name} to {bits_per_s} bit/s", error) from error

    def sent_bytes(self) -> int:
        """Return the bytes that left through the host's end."""
        return int(Path(f"/sys/class/net/{self.name}/statistics/tx_bytes").read_text())

    def all_cpus(self) -> tuple[int, ...]:
        """Return the CPUs that this process may use."""
        return tuple(sorted(os.sched_getaffinity(0)))

    def close(self) -> None:
        """Delete both ends. Idempotent."""
        if self.name:
            delete(self._ip, self.name)
            self.name = ""
        self._ip.close()

    def _claim(self, owner: Owner) -> tuple[str, IPv4Network]:
        peer = {"ifname": PEER_LINK, "net_ns_fd": self._namespace.fd}
        for subnet in free_subnets(self._routes()):
            name = f"nwh{subnet.network_address.packed[2]}"
            try:
                self._ip.link("add", ifname=name, kind="veth", peer=peer, ifalias=f"nw {owner}")
            except Exception as error:
                if _code(error) != errno.EEXIST:
                    raise
                continue
            return name, subnet
        raise WireError(f"make the wire: no /24 of {RANGE} is free; remove a route that covers it")

    def _routes(self) -> list[IPv4Network]:
        found = []
        for route in self._ip.get_routes(family=2):
            destination = route.get_attr("RTA_DST")
            if destination is not None:
                found.append(IPv4Network((destination, route["dst_len"]), strict=False))
        return found

    def _set_up(self, owner: Owner, subnet: IPv4Network) -> None:
        # Again: kernels before 5.x ignore an alias given to `add`.
        self._ip.link("set", index=self._index, ifalias=f"nw {owner}")
        quiet = _CONF / f"ipv6/conf/{self.name}/disable_ipv6"
        if quiet.exists():
            quiet.write_text("1")
        self._ip.addr("add", index=self._index, address=str(self.host), prefixlen=subnet.prefixlen)
        self._ip.link("set", index=self._index, state="up")
        # For our link only: it receives the answers to what the host forwards for containers.
        (_CONF / f"ipv4/conf/{self.name}/forwarding").write_text("1")
        self._namespace.configure(PEER_LINK, self.peer, subnet, self.host)

    def _inside(self, action: Callable[[Any], None]) -> None:
        """Run `action` over rtnetlink in the peer's namespace, in a thread that joins it and then ends."""
        failure: list[Exception] = []

        def enter() -> None:
            from pyroute2 import IPRoute

            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(self._namespace.fd, _CLONE_NEWNET) < 0:
                    raise OSError(ctypes.get_errno(), "setns")
                with IPRoute() as ip:
                    action(ip)
            except Exception as error:
                failure.append(error)

        thread = threading.Thread(target=enter, name="nw-peer")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]


def free_subnets(routes: list[IPv4Network]) -> Iterator[IPv4Network]:
    """Yield the /24 of RANGE that overlap no route, lowest first; the default route does not count."""
    taken = [route for route in routes if route.prefixlen > 0 and route.overlaps(RANGE)]
    for subnet in RANGE.subnets(new_prefix=24):
        if not any(subnet.overlaps(route) for route in taken):
            yield subnet


def bucket(bits_per_s: int) -> tuple[int, int, int]:
    """Return (bytes/s, burst, limit) of the token bucket for a rate; burst and limit in bytes."""
    rate = bits_per_s // 8
    burst = max(_MIN_BURST, int(rate * BURST_S))
    return rate, burst, burst + max(_MIN_BURST, int(rate * QUEUE_S))


def sweep() -> list[str]:
    """Delete the wires whose owners are dead; return their names. Raises WireError."""
    if not any(_NAME.fullmatch(link.name) for link in Path("/sys/class/net").iterdir()):
        return []
    from pyroute2 import IPRoute

    gone = []
    with IPRoute() as ip:
        for link in list(ip.get_links()):
            name = link.get_attr("IFLA_IFNAME") or ""
            owner = Owner.parse(link.get_attr("IFLA_IFALIAS") or "")
            if _NAME.fullmatch(name) and owner is not None and not owner.is_alive():
                delete(ip, name)
                gone.append(name)
    return gone


def delete(ip: Any, name: str) -> None:
    """Delete one end of a wire, and with it the other; does nothing if it is gone. Raises WireError."""
    for index in ip.link_lookup(ifname=name):
        try:
            ip.link("del", index=index)
        except Exception as error:
            if _code(error) != errno.ENODEV:
                raise _worded(f"delete {name}", error) from error


def _set_rate(ip: Any, index: int, bits_per_s: int | None) -> None:
    try:
        ip.tc("del", index=index, handle=_HANDLE, parent=_ROOT)
    except Exception as error:
        if _code(error) not in (errno.ENOENT, errno.EINVAL):
            raise
    if bits_per_s is not None:
        rate, burst, limit = bucket(bits_per_s)
        ip.tc("add", "tbf", index, _HANDLE, rate=rate, burst=burst, limit=limit)


def _code(error: BaseException) -> int | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else getattr(error, "errno", None)


def _worded(operation: str, error: Exception) -> Exception:
    """Return a WireError with the errno's name and advice; errors that are not from the kernel as they
    are."""
    number = _code(error)
    if isinstance(error, WireError) or number is None:
        return error
    advice = {
        errno.EPERM: "run as root: links and namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN",
        errno.EOPNOTSUPP: "the kernel lacks this kind of link: load veth",
        errno.ENOENT: "the kernel lacks the token bucket: load sch_tbf",
    }.get(number, "see the kernel's log")
    return WireError(f"{operation}: {errno.errorcode.get(number, number)} ({os.strerror(number)}); {advice}")
