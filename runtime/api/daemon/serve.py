"""The daemon's life: lock the root, listen, open the service, answer requests, stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.api.daemon import addresses, heap
from runtime.api.daemon.addresses import Address
from runtime.api.daemon.locking import only_one, pid_file
from runtime.api.daemon.tls import TlsProtocol
from runtime.api.daemon.users import Users
from runtime.api.http import versions
from runtime.engine.errors import EngineError
from runtime.engine.service.rules.settings import Settings
from runtime.engine.spawner import launch

if TYPE_CHECKING:
    from runtime.api.app import Api, Observer
    from runtime.engine.service.service import Service

log = logging.getLogger("nnd")

_SLOW_S = 3.0
_GOODBYE_S = 2.0
_SETTLED_S = 1.0
_IMPATIENT = 3
"""The number of signals at which the daemon ends without cleaning up."""


class DaemonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the daemon. tls: for the TCP sockets, None for plain TCP.

    private: of a daemon for `nn --local`, one more listening socket and its users, with whom it ends.
    """

    root: Path
    hosts: tuple[Address, ...]
    group: str = ""
    tls: ssl.SSLContext | None = None
    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    experimental: bool = False
    live_restore: bool = False
    private: tuple[socket.socket, Users] | None = None
    pid_file: Path | None = None
    settings: Settings = Settings()


async def serve(
    options: DaemonOptions,
    say: Callable[[str], None],
    observer: Observer | None = None,
    again: Callable[[], DaemonOptions] | None = None,
) -> None:
    """Run the daemon until a signal ends it. say: prints a line for the caller. Raises EngineError.

    again: returns the current options, at SIGHUP.
    """
    gc.disable()  # objects made at the start stay
    stop = _stop_event()
    with only_one(options.root), pid_file(options.pid_file), contextlib.ExitStack() as held:
        sockets = [(address, sock) for address in options.hosts for sock in _listen(held, address, options)]
        if options.private is not None:
            sockets.append((Address(kind="fd"), options.private[0]))
        private = options.private is not None
        spawner = asyncio.ensure_future(asyncio.to_thread(launch.connect, options.root, private))
        # The import takes about as long as the spawner's start on another CPU.
        app = await asyncio.to_thread(importlib.import_module, "runtime.api.app")
        service = await _opened(options, spawner, say, stop)
        if service is None:
            return
        if again is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, service, again)
        api: Api = app.Api(service, observer=observer)
        servers = await _answer(api, sockets, options.tls)
        giving_back = asyncio.ensure_future(heap.give_back_after_work())
        try:
            where = " ".join(
                addresses.shown(address, [one for its, one in sockets if its is address])
                for address in options.hosts
            )
            say(f"nnd {versions.program()} is ready: {where} (root {options.root}, pid {os.getpid()})")
            _notify("READY=1")
            gc.freeze()
            asyncio.get_running_loop().call_later(_SETTLED_S, _settle)
            if options.private is not None:
                options.private[1].serve(stop.set)
            await stop.wait()
            _notify("STOPPING=1")
            say("nnd stops" if service.live_restore else "nnd stops, and its containers with it")
        finally:
            # No new clients; those that wait for a container's end still get their answer.
            giving_back.cancel()
            for server in servers:
                server.close()
            try:
                await service.close()
            finally:
                await api.shutdown(_GOODBYE_S)


def _notify(state: str) -> None:
    """Send `READY=1` or the like to systemd, as sd_notify(3) does; do nothing without systemd."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    if name.startswith("@"):
        name = "\0" + name[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(name)
        sock.sendall(state.encode())


def _reload(service: Service, again: Callable[[], DaemonOptions]) -> None:
    """Apply the options that may change while the daemon runs; an invalid configuration changes nothing."""
    try:
        new = again()
    except EngineError as error:
        log.error("SIGHUP: the configuration stays as it is: %s", error)
        return
    service.reload(new.settings, live_restore=new.live_restore, insecure=new.insecure, mirrors=new.mirrors)
    log.info("SIGHUP: labels, registries, live-restore and shutdown-timeout were read again")


def _listen(held: contextlib.ExitStack, address: Address, options: DaemonOptions) -> list[socket.socket]:
    sockets = addresses.listen(address, group=options.group)
    for sock in sockets:
        held.callback(sock.close)
    if address.kind == "unix":
        path = Path(address.path)
        held.callback(_unlink, path, path.stat().st_ino)
    return sockets


def _unlink(path: Path, inode: int) -> None:
    """Remove our socket, unless another daemon has put its own there."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def _settle() -> None:
    """Let the garbage collector look only at objects that are made from now on."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.enable()


async def _opened(
    options: DaemonOptions,
    spawner: asyncio.Future[socket.socket],
    say: Callable[[str], None],
    stop: asyncio.Event,
) -> Service | None:
    """Open the service; None if a signal came first."""
    from runtime.engine.service.service import Service

    opening = asyncio.ensure_future(
        Service.open(
            options.root,
            live_restore=options.live_restore,
            private=options.private is not None,
            insecure=options.insecure,
            mirrors=options.mirrors,
            experimental=options.experimental,
            settings=options.settings,
            spawner=spawner,
        )
    )
    stopping = asyncio.ensure_future(stop.wait())
    waited = 0.0
    try:
        while not opening.done() and not stopping.done():
            await asyncio.wait((opening, stopping), timeout=_SLOW_S, return_when=asyncio.FIRST_COMPLETED)
            waited += _SLOW_S
            if not opening.done() and not stopping.done():
                say(f"nnd opens {options.root}: cleaning up after an earlier run, {waited:.0f} s so far")
        if not opening.done():
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                return await opening
            return None
        return opening.result()
    finally:
        stopping.cancel()


async def _answer(
    api: Api, sockets: list[tuple[Address, socket.socket]], tls: ssl.SSLContext | None
) -> list[asyncio.Server]:
    loop = asyncio.get_running_loop()
    servers = []
    for address, sock in sockets:
        make: Callable[[], asyncio.Protocol] = api
        if address.kind == "tcp" and tls is not None:
            make = _with_tls(tls, api)
        # Not create_unix_server(): since Python 3.13 it removes the socket file, which may be systemd's.
        servers.append(await loop.create_server(make, sock=sock))
    return servers


def _with_tls(context: ssl.SSLContext, api: Api) -> Callable[[], asyncio.Protocol]:
    return lambda: TlsProtocol(context, api)


def _stop_event() -> asyncio.Event:
    event, loop, count = asyncio.Event(), asyncio.get_running_loop(), 0

    def stop(number: int) -> None:
        nonlocal count
        count += 1
        event.set()
        if count >= _IMPATIENT:
            os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, log.info, "SIGHUP: too early; the configuration is being read")
    return event
