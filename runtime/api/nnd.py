"""`nnd`: the daemon's command line."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import resource
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from runtime.api.daemon import heap
from runtime.api.daemon.addresses import parse_address
from runtime.api.daemon.configuration import Configuration, configuration, settings_of
from runtime.api.daemon.flags import DEFAULT_HOST, LEVELS, PLAIN, parser
from runtime.api.daemon.serve import DaemonOptions, serve
from runtime.api.daemon.tls import server_context
from runtime.api.http.errors import is_ours
from runtime.engine.errors import BadParameterError, EngineError

if TYPE_CHECKING:
    from runtime.api.app import Observer

_MOST_FILES = 1 << 20
_UMASK = 0o022
"""As dockerd's: files in containers must be readable by others, whatever root's shell has set."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def options_of(asked: Configuration) -> DaemonOptions:
    """Make the daemon's options from the configuration. Raises BadParameterError."""
    secure = asked.tls or asked.tlsverify
    hosts = tuple(parse_address(text, tls=secure) for text in asked.hosts or [DEFAULT_HOST])
    for address in hosts:
        if not (address.is_local or asked.tlsverify or asked.plain):
            raise BadParameterError(
                f"--host {address}: anyone who reaches this port is root here; give --tlsverify, or {PLAIN}"
                " if that is intended"
            )
    context = None
    if secure:
        authority = Path(asked.tlscacert) if asked.tlsverify else None
        context = server_context(Path(asked.tlscert), Path(asked.tlskey), authority)
    mirrors, plain = _mirrors(asked.registry_mirrors)
    return DaemonOptions(
        root=Path(asked.data_root).absolute(),
        hosts=hosts,
        group=asked.group,
        tls=context,
        insecure=(*asked.insecure_registries, *plain),
        mirrors=mirrors,
        experimental=asked.experimental,
        live_restore=asked.live_restore,
        pid_file=Path(asked.pidfile).absolute() if asked.pidfile else None,
        settings=settings_of(asked),
    )


def _mirrors(urls: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the hosts of mirrors, and those used without TLS. Raises BadParameterError."""
    found = [_mirror(url) for url in urls]
    plain = tuple(url.netloc for url in found if url.scheme == "http")
    return tuple(url.netloc for url in found), plain


def _mirror(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port beyond 65535
        named = False
    if not named or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise BadParameterError(f"--registry-mirror {url}: write http://HOST[:PORT] or https://HOST[:PORT]")
    return parts


def main(argv: Sequence[str] | None = None, observer: Observer | None = None) -> int:
    """Run `nnd` and return its exit status: 0 after a signal, 1 when it cannot run, 2 for wrong use."""
    given = parser().parse_args(argv)
    if getattr(given, "validate", False):
        return _status_of(lambda: _validate(given))
    return run(lambda: _options(given), _say, observer)


def run(
    options: Callable[[], DaemonOptions], say: Callable[[str], None], observer: Observer | None = None
) -> int:
    """Run a daemon and return nnd's exit status. options: reads the options, again at each SIGHUP."""
    return _status_of(lambda: _serve(options, say, observer))


def _status_of(act: Callable[[], None]) -> int:
    try:
        act()
    except BadParameterError as error:
        print(f"nnd: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not (is_ours(error) or isinstance(error, OSError)):
            raise
        print(f"nnd: {error}", file=sys.stderr)
        return 1
    return 0


def _validate(given: Namespace) -> None:
    options_of(configuration(given))
    print("configuration OK")


def _options(given: Namespace) -> DaemonOptions:
    asked = configuration(given)
    options = options_of(asked)
    _set_level(asked)
    return options


def _serve(
    options: Callable[[], DaemonOptions], say: Callable[[str], None], observer: Observer | None
) -> None:
    first = options()
    logging.basicConfig(format=_FORMAT, stream=sys.stderr)
    faulthandler.register(signal.SIGUSR1)
    if os.geteuid() != 0:
        raise EngineError("it needs root for namespaces, mounts and cgroups: start it with sudo")
    _take_all_descriptors()
    heap.use_one()
    os.umask(_UMASK)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(serve(first, say, observer, options))


def _set_level(asked: Configuration) -> None:
    logging.getLogger().setLevel("DEBUG" if asked.debug else LEVELS[asked.log_level])
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.getLogger().level))


def _take_all_descriptors() -> None:
    """Raise the limit of open files: with a few for each client and container, 1024 are soon used up."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
