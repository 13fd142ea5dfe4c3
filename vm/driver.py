"""libvirt in a separate process, called over a socket pair: `python -m vm.driver FD HOME URI PID`.

libvirt's embedded driver needs an event loop thread, a subreaper and a reaper. In a process that measures
container starts each of them would cost microseconds at random, and would reap children of others. This
process also cleans up: when its caller (PID) dies, however that happens, it ends all VMs.

Requests and answers are lines of JSON: `{"id": N, "op": NAME, "args": [...]}`, `{"id": N, "ok": VALUE}` or
`{"id": N, "error": TEXT, "kind": CLASS}`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from vm.errors import VmError, VmUnavailableError
from vm.leftovers import clear_home
from vm.libvirt_domains import Domains, quiet_signals, start_event_loop
from vm.reaper import start_reaper

OPERATIONS = ("version", "start", "resume", "suspend", "destroy", "save", "restore", "active", "pid", "sweep")


class Request(msgspec.Struct, frozen=True):
    """One call of a method of `Domains`."""

    id: int
    op: str
    args: list[Any] = []


def serve(connection: socket.socket, handle: Callable[[Request], Any]) -> None:
    """Answer requests until the caller closes its end."""
    stream = connection.makefile("rwb")
    for line in stream:
        request = msgspec.json.decode(line, type=Request)
        try:
            answer = {"id": request.id, "ok": handle(request)}
        except VmError as error:
            answer = {"id": request.id, "error": str(error), "kind": type(error).__name__}
        stream.write(msgspec.json.encode(answer) + b"\n")
        stream.flush()


def main(arguments: list[str]) -> None:
    """Serve one harness. arguments: descriptor of the socket, home directory, libvirt URI, caller's pid."""
    connection = socket.socket(fileno=int(arguments[0]))
    home, uri = Path(arguments[1]), arguments[2]
    quiet_signals()
    start_reaper()
    parent = os.pidfd_open(int(arguments[3]))
    domains: Domains | None = None

    def handle(request: Request) -> Any:
        nonlocal domains
        if request.op == "open":
            start_event_loop()
            domains = Domains(uri, home)
            return domains.version()
        if domains is None or request.op not in OPERATIONS:
            raise VmError(
                f"libvirt driver: unknown request {request.op!r}, or one before `open`; start a new harness"
            )
        return getattr(domains, request.op)(*request.args)

    threading.Thread(target=_follow, args=(parent, connection), daemon=True).start()
    try:
        serve(connection, handle)
    except OSError:
        pass  # the caller is gone: clean up
    finally:
        clear_home(home, destroy=domains.destroy if domains else None)


def _follow(parent: int, connection: socket.socket) -> None:
    """Close the socket when the caller dies, even if a fork of it still holds the other end."""
    select.select([parent], [], [])
    connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        main(sys.argv[1:])
    except VmUnavailableError as error:
        sys.exit(str(error))
