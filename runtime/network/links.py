"""Links of the host, over rtnetlink: bridges and veth pairs of ours, and whose they are.

A bridge `nnb<k>` serves the subnet 10.209.<k>.0/24 and carries its owner in its alias; since a link's name is
unique, making it is also what claims the subnet against other processes. Its veths are `nnv<k>.<host part>`.
"""

from __future__ import annotations

import contextlib
import errno
import re
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import msgspec

from runtime.network import subnets
from runtime.network.errors import NetworkError, wrap
from runtime.network.model import Bridge
from runtime.spawn.owner import Owner

_BRIDGE = re.compile(r"nnb(\d+)")
_VETH = re.compile(r"nnv(\d+)\.\d+")
_CONF = Path("/proc/sys/net")


class OurLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link that carries our names. `subnet` is the <k> of the name; `owner_is_alive` is None if unknown."""

    name: str
    index: int
    is_bridge: bool
    subnet: int
    owner_is_alive: bool | None


class Links:
    """rtnetlink on the host's network namespace (that of the thread that makes this object)."""

    def __init__(self) -> None:
        # 0.2 s to import: paid by the first use of a bridge only.
        from pyroute2 import IPRoute

        self._ip = IPRoute()

    def close(self) -> None:
        """Close the socket."""
        self._ip.close()

    def routes(self) -> list[IPv4Network]:
        """Destinations of all IPv4 routes, all tables."""
        found = []
        with _netlink("read the routes"):
            for route in self._ip.get_routes(family=2):
                destination = route.get_attr("RTA_DST")
                if destination is not None:
                    found.append(IPv4Network((destination, route["dst_len"]), strict=False))
        return found

    # ---- making ----------------------------------------------------------------------------------------

    def add_bridge(self, owner: Owner) -> Bridge:
        """Make a bridge on the first subnet that is free, up, addressed and forwarding."""
        for subnet in subnets.free_subnets(self.routes()):
            name = f"nnb{subnet.network_address.packed[2]}"
            try:
                self._ip.link("add", ifname=name, kind="bridge", address=_bridge_mac(owner), br_stp_state=0)
            except Exception as error:
                if _code(error) == errno.EEXIST:
                    continue
                raise wrap(f"make bridge {name}", _code(error)) from error
            try:
                return self._set_up_bridge(name, subnet, owner)
            except BaseException:
                self.delete(name)
                raise
        raise NetworkError(f"no /24 of {subnets.RANGE} is free; nn sweep frees leftovers, or remove a route")

    def _set_up_bridge(self, name: str, subnet: IPv4Network, owner: Owner) -> Bridge:
        gateway = subnets.gateway(subnet)
        with _netlink(f"set up bridge {name}"):
            index = self._ip.link_lookup(ifname=name)[0]
            self._ip.link("set", index=index, ifalias=f"nn {owner}")
            _write(_CONF / f"ipv6/conf/{name}/disable_ipv6", "1")
            self._ip.addr("add", index=index, address=str(gateway), prefixlen=subnet.prefixlen)
            self._ip.link("set", index=index, state="up")
        # Ours alone: the host's global switch is not touched.
        _write(_CONF / f"ipv4/conf/{name}/forwarding", "1")
        return Bridge(name=name, index=index, subnet=str(subnet), gateway=str(gateway))

    def add_veth(self, bridge: Bridge, address: IPv4Address, netns_fd: int) -> str:
        """Make a pair: `nnv…` up on `bridge`, `eth0` in the namespace; return the host's link name.

        FileExistsError when the name is still taken by a container that is going.
        """
        name = f"nnv{address.packed[2]}.{address.packed[3]}"
        peer = {"ifname": "eth0", "net_ns_fd": netns_fd, "address": subnets.mac(address)}
        try:
            self._ip.link("add", ifname=name, kind="veth", peer=peer, master=bridge.index, state="up")
        except Exception as error:
            if _code(error) == errno.EEXIST:
                raise FileExistsError(name) from error
            raise wrap(f"make veth {name} on {bridge.name}", _code(error)) from error
        _write(_CONF / f"ipv6/conf/{name}/disable_ipv6", "1")
        return name

    # ---- finding and removing --------------------------------------------------------------------------

    def ours(self) -> list[OurLink]:
        """All links with our names, whoever made them."""
        with _netlink("list links"):
            links = list(self._ip.get_links())
        alive: dict[int, bool | None] = {}
        found: list[tuple[str, int, bool, int]] = []
        for link in links:
            name = link.get_attr("IFLA_IFNAME") or ""
            bridge, veth = _BRIDGE.fullmatch(name), _VETH.fullmatch(name)
            if bridge:
                alive[int(bridge[1])] = _is_alive(link)
                found.append((name, link["index"], True, int(bridge[1])))
            elif veth:
                found.append((name, link["index"], False, int(veth[1])))
        return [
            OurLink(
                name=n, index=i, is_bridge=b, subnet=k, owner_is_alive=alive[k] if k in alive else _orphan(k)
            )
            for n, i, b, k in found
        ]

    def delete(self, name: str) -> None:
        """Delete a link of ours; nothing to do when it is gone."""
        if not (_BRIDGE.fullmatch(name) or _VETH.fullmatch(name)):
            raise NetworkError(
                f"delete link {name}: it is not one of ours; this is a bug of ninetynine, report it"
            )
        for index in self._ip.link_lookup(ifname=name):
            try:
                self._ip.link("del", index=index)
            except Exception as error:
                if _code(error) != errno.ENODEV:
                    raise wrap(f"delete link {name}", _code(error)) from error


def veths_of(bridge: Bridge) -> list[str]:
    """Names of the veths that serve `bridge` now."""
    number = IPv4Network(bridge.subnet).network_address.packed[2]
    return [link.name for link in Path("/sys/class/net").glob(f"nnv{number}.*")]


def wait_until_gone(bridge: Bridge, timeout_s: float = 1.0) -> list[str]:
    """Wait for the kernel to reap the veths of closed namespaces; return what is left."""
    deadline = time.monotonic() + timeout_s
    while (left := veths_of(bridge)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _orphan(number: int) -> bool | None:
    """Say of a veth whose bridge was not listed that its owner is dead: bridges are made first, removed last.

    Asked again, since a list is no snapshot: the bridge may have been made while it was read.
    """
    return None if Path(f"/sys/class/net/nnb{number}").exists() else False


def _bridge_mac(owner: Owner) -> str:
    """The pid in it says whose a bridge is that was killed before it got its alias."""
    return "02:4e:" + ":".join(f"{byte:02x}" for byte in struct.pack(">I", owner.pid))


def _is_alive(link: Any) -> bool | None:
    owner = Owner.parse(link.get_attr("IFLA_IFALIAS") or "")
    if owner is not None:
        return owner.is_alive()
    octets = bytes(int(part, 16) for part in (link.get_attr("IFLA_ADDRESS") or "00:00").split(":"))
    if octets[:2] != b"\x02\x4e":
        return None
    return Path(f"/proc/{struct.unpack('>I', octets[2:])[0]}").exists()


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except FileNotFoundError:
        if "ipv6" not in path.parts:
            raise wrap(f"write {value} to {path}", errno.ENOENT) from None
    except OSError as error:
        raise wrap(f"write {value} to {path}", error.errno) from error


def _code(error: BaseException) -> int | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, int) else getattr(error, "errno", None)


@contextlib.contextmanager
def _netlink(operation: str) -> Iterator[None]:
    try:
        yield
    except NetworkError:
        raise
    except Exception as error:  # NetlinkError derives from Exception alone
        if _code(error) is None:
            raise
        raise wrap(operation, _code(error)) from error
