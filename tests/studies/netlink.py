"""What a start would pay for its network with pyroute2, and what it pays with our own requests, interleaved.

    python -m tests.studies.netlink [--rounds 60]        (as root, in a network namespace of its own)

Both plug a namespace into a bridge and configure it: a pair, addresses, a default route. *import* is that of
the library, in a process of its own. A spare is what nnd's starts find: all of it was done before.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from pyroute2 import IPRoute

from runtime.network.bridge_networks import BridgeNetworks
from runtime.network.container_netns import inside, plain_endpoint
from runtime.network.model import NetworkSpec
from tests.paths import REPOSITORY
from tests.runtime.own_host import own_host

SPEC = NetworkSpec(id="7" * 64, link="nn-micro", subnet="10.97.0.0/16", gateway="10.97.0.1")
Plug = Callable[[int, str], None]


def with_library(ip: IPRoute) -> Plug:
    """Do by pyroute2 what a start does, entering the namespace as we do."""
    bridge = socket.if_nametoindex(SPEC.link)

    def plug(fd: int, address: str) -> None:
        name, mac = "nne" + secrets.token_hex(5), plain_endpoint(SPEC, address).mac
        peer = {"ifname": "eth0", "net_ns_fd": fd, "address": mac}
        ip.link("add", ifname=name, kind="veth", peer=peer, master=bridge, state="up")
        with inside(fd), IPRoute() as inner:
            index = socket.if_nametoindex("eth0")
            inner.link("set", index=index, state="up")
            inner.addr("add", index=index, address=address, prefixlen=16)
            inner.route("add", dst="default", gateway=SPEC.gateway)

    return plug


def with_ours(networks: BridgeNetworks) -> Plug:
    """Do what a start does."""
    return lambda fd, address: networks.attach(address, fd, [plain_endpoint(SPEC, address)]) and None


def timed(plug: Plug, fd: int, address: str) -> float:
    """Return milliseconds."""
    begin = time.perf_counter()
    plug(fd, address)
    return (time.perf_counter() - begin) * 1e3


def race(rounds: int) -> dict[str, list[float]]:
    """All once a round, in turns."""
    times: dict[str, list[float]] = {"pyroute2": [], "ours": [], "a spare": []}
    with own_host(), IPRoute() as ip, contextlib.ExitStack() as stack:
        networks = BridgeNetworks(pool_size=1)
        stack.callback(networks.close)
        networks.up(SPEC)
        plugs = {"pyroute2": with_library(ip), "ours": with_ours(networks), "a spare": with_ours(networks)}
        for number in range(3 * (rounds + 3)):
            name = list(plugs)[number % 3]
            address = f"10.97.{1 + number // 200}.{2 + number % 200}"
            if name == "a spare":
                networks._last[SPEC.id] = f"10.97.{1 + number // 200}.{1 + number % 200}"
                networks.pool.refill(SPEC.id)
                fd = networks.pool.take(SPEC.id, address)
            else:
                fd = networks.pool.take()
            times[name].append(timed(plugs[name], fd, address))
            networks.pool.give_back(fd)
    return {name: found[3:] for name, found in times.items()}


def import_ms(module: str) -> float:
    """Return what importing a module takes in a fresh process, beyond the interpreter."""

    def whole(code: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
        return (time.perf_counter() - begin) * 1e3

    return statistics.median(whole(f"import {module}") - whole("import msgspec") for _ in range(9))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    times = race(parser.parse_args().rounds)
    for name, found in times.items():
        pairs = statistics.median(one / other for one, other in zip(found, times["ours"], strict=True))
        print(f"{name:9} p50 {statistics.median(found):6.3f} ms, min {min(found):6.3f}, {pairs:.2f} of ours")
    for module in ("pyroute2", "runtime.network.kernel.rtnetlink", "runtime.network.bridge_networks"):
        print(f"import {module}: {import_ms(module):.0f} ms")


if __name__ == "__main__":
    main()
