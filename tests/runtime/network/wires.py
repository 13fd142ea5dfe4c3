"""Sockets inside namespaces, the remote peer, and what a network leaves on the host."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from pathlib import Path

import msgspec

from tests.runtime.host_traces import links_of

CLONE_NEWNET = 0x40000000


def socket_in(netns_fd: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that lives in a namespace; it may be used from any thread."""
    made: list[socket.socket] = []

    def enter() -> None:
        assert ctypes.CDLL(None, use_errno=True).setns(netns_fd, CLONE_NEWNET) == 0
        made.append(socket.socket(socket.AF_INET, kind))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    made[0].settimeout(60)
    return made[0]


def listener_in(netns_fd: int, port: int) -> socket.socket:
    made = socket_in(netns_fd)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("0.0.0.0", port))
    made.listen()
    return made


class Peer(msgspec.Struct, frozen=True):
    """A remote host: a namespace behind one link, that knows no way to our containers but the host."""

    netns_fd: int
    address: str
    host_address: str


def traces() -> tuple[set[str], set[str], set[str]]:
    """This process's links, tables and descriptors; others make networks meanwhile."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    mine = {line for line in tables.splitlines() if f"nn_{os.getpid()}_" in line}
    return links_of(os.getpid()), mine, {path.name for path in Path("/proc/self/fd").iterdir()}
