"""A host of its own for a test: a network namespace that the test's thread enters, with a world outside."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
from pyroute2 import IPRoute

from runtime.network.container_netns import inside
from runtime.network.kernel.netns import NetworkNamespace

OUTSIDE4, OUTSIDE6 = "10.99.0.2", "fd99::2"
HOST4, HOST6 = "10.99.0.1", "fd99::1"


class World(msgspec.Struct, frozen=True):
    """The far end of the host's only uplink, `up0`; it knows a way to the host and to nothing behind it."""

    netns_fd: int


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def own_host() -> Iterator[World]:
    """Be on a host with one uplink and no forwarding, until the end."""
    host, outside = NetworkNamespace(), NetworkNamespace()
    try:
        with inside(outside.fd):
            _switch_ipv6_on()
        with inside(host.fd):
            _switch_ipv6_on()
            for version, name in (("ipv4", "conf/all/forwarding"), ("ipv6", "conf/all/forwarding")):
                Path(f"/proc/sys/net/{version}/{name}").write_text("0")
            _make_uplink(outside.fd)
            yield World(outside.fd)
    finally:
        host.close()
        outside.close()


def _make_uplink(fd: int) -> None:
    """Both ends have addresses; the host's default routes lead there."""
    with IPRoute() as ip:
        ip.link("add", ifname="up0", kind="veth", peer={"ifname": "eth0", "net_ns_fd": fd})
        index = ip.link_lookup(ifname="up0")[0]
        ip.link("set", index=index, state="up")
    with inside(fd):
        run("ip", "link", "set", "eth0", "up")
        run("ip", "addr", "add", f"{OUTSIDE4}/24", "dev", "eth0")
        run("ip", "addr", "add", f"{OUTSIDE6}/64", "dev", "eth0", "nodad")
    run("ip", "addr", "add", f"{HOST4}/24", "dev", "up0")
    run("ip", "addr", "add", f"{HOST6}/64", "dev", "up0", "nodad")
    run("ip", "route", "add", "default", "via", OUTSIDE4)
    run("ip", "-6", "route", "add", "default", "via", OUTSIDE6)


def _switch_ipv6_on() -> None:
    for name in ("all", "default", "lo"):
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0")


def listen(
    address: str, port: int, netns_fd: int | None = None, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """A bound socket of a namespace (of the thread's by default), listening if it is a stream."""
    with contextlib.ExitStack() as held:
        if netns_fd is not None:
            held.enter_context(inside(netns_fd))
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.settimeout(60)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def connect(address: str, port: int, netns_fd: int | None = None, timeout_s: float = 60) -> socket.socket:
    """A connection from a namespace (from the thread's by default)."""
    with contextlib.ExitStack() as held:
        if netns_fd is not None:
            held.enter_context(inside(netns_fd))
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        made.settimeout(timeout_s)
        try:
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
    return made


def meets(server: socket.socket, address: str, port: int, netns_fd: int | None = None) -> str:
    """Connect, pass a byte each way, and return whom the server saw."""
    with connect(address, port, netns_fd) as client:
        connection, peer = server.accept()
        with connection:
            connection.settimeout(60)
            client.sendall(b"?")
            assert connection.recv(1) == b"?"
            connection.sendall(b"!")
            assert client.recv(1) == b"!"
    return str(peer[0])
