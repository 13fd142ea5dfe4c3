"""Run a registry until a signal ends it: one process per directory, plain HTTP or TLS."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError

from runtime.image.errors import ImageError, errno_advice
from runtime.image.server.app import make_runner
from runtime.image.server.collect import GRACE_S, Collected, collect
from runtime.image.server.registry import RegistryServer
from runtime.image.server.registry_store import RegistryStore

log = logging.getLogger("ninetynine.registry")


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """listen: `host:port`, port 0 chooses a free one; cert and key (PEM) enable TLS."""

    root: Path
    listen: str = "127.0.0.1:5000"
    cert: Path | None = None
    key: Path | None = None
    read_only: bool = False
    grace_s: float = GRACE_S
    untagged: bool = False


def serve(options: ServeOptions, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP collects garbage. ready: called with the address.

    Raises ImageError when another process serves the directory, or the address is taken.
    """
    logging.getLogger("aiohttp.server").addFilter(_is_relevant)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each client needs one
    with exclusive(options.root):
        asyncio.run(_serve(options, ready))


def _is_relevant(record: logging.LogRecord) -> bool:
    """Drop log lines about requests that are not HTTP."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


async def _serve(options: ServeOptions, ready: Callable[[str], None]) -> None:
    host, _, port = options.listen.rpartition(":")
    registry = RegistryServer(RegistryStore(options.root), read_only=options.read_only)
    runner = make_runner(registry)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host.strip("[]"), _port(port), ssl_context=_tls(options))
        try:
            await site.start()
        except OSError as error:
            raise ImageError(f"listen on {options.listen}: {errno_advice(error)}") from error
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        tasks: set[asyncio.Task[Collected]] = set()

        def hang_up() -> None:
            task = loop.create_task(registry.collect(untagged=options.untagged, grace_s=options.grace_s))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        loop.add_signal_handler(signal.SIGHUP, hang_up)
        ready(_address(runner, options.cert is not None))
        await ended.wait()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await runner.cleanup()


def collect_offline(root: Path, *, untagged: bool, grace_s: float) -> Collected:
    """Collect the garbage of a registry that is not running. Raises ImageError if it is."""
    with exclusive(root):
        return collect(RegistryStore(root), untagged=untagged, grace_s=grace_s)


@contextlib.contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Lock the directory: two registries would not see each other's uploads."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImageError(f"open registry {root}: {errno_advice(error)}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise ImageError(
            f"registry {root} is served by another process; end that first, or send it SIGHUP to collect"
        ) from None
    try:
        yield
    finally:
        os.close(fd)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65536):
        raise ImageError(f"listen address has no port in {text!r}; write HOST:PORT, port 0 for a free one")
    return int(text)


def _tls(options: ServeOptions) -> ssl.SSLContext | None:
    if options.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.cert, options.key)
    except (OSError, ssl.SSLError) as error:
        raise ImageError(f"certificate {options.cert} or its key cannot be used: {error}") from error
    return context


def _address(runner: web.AppRunner, tls: bool) -> str:
    host, port = runner.addresses[0][:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
