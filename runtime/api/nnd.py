"""`nnd`: the daemon's command line."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from runtime.api import versions
from runtime.api.addresses import parse_address
from runtime.api.app import Observer
from runtime.api.daemon import Options, serve
from runtime.api.tls import server_context
from runtime.engine.errors import BadParameterError, EngineError

DEFAULT_ROOT = "/var/lib/ninetynine"
DEFAULT_HOST = "unix:///run/ninetynine/nnd.sock"
PLAIN = "--plain-tcp-gives-root-to-anyone"

_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}
_MOST_FILES = 1 << 20
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(
        prog="nnd", description="The daemon: containers for docker's clients, and for nn.", allow_abbrev=False
    )
    add = made.add_argument
    add("--root", "--data-root", metavar="DIR", default=DEFAULT_ROOT, help=f"its state ({DEFAULT_ROOT})")
    add(
        "-H", "--host", action="append", metavar="ADDRESS",
        help=f"where it listens: unix:///PATH, tcp://HOST:PORT, fd://; may be repeated ({DEFAULT_HOST})",
    )  # fmt: skip
    add("-G", "--group", metavar="NAME", default="", help="who may use the unix sockets beside root")
    add("--tls", action="store_true", help="encrypt TCP; whoever reaches the port is still root here")
    add("--tlsverify", action="store_true", help="encrypt TCP and take only clients with a certificate")
    add("--tlscacert", metavar="FILE", default="ca.pem", help="who signs the clients' certificates")
    add("--tlscert", metavar="FILE", default="cert.pem", help="the daemon's certificate")
    add("--tlskey", metavar="FILE", default="key.pem", help="the daemon's key")
    add(PLAIN, dest="plain", action="store_true", help="listen beyond this host without --tlsverify")
    add(
        "--insecure-registry", action="append", metavar="HOST[:PORT]", default=[],
        help="a registry without TLS, or with a certificate nobody knows, or a network of such, 10.0.0.0/8; "
        "may be repeated",
    )  # fmt: skip
    add(
        "--registry-mirror", action="append", metavar="URL", default=[],
        help="a registry that is asked for docker.io's images before docker.io is; may be repeated",
    )  # fmt: skip
    add("--experimental", action="store_true", help="tell clients so: some ask for squashed builds only then")
    add("--live-restore", action="store_true", help="containers go on while the daemon does not run")
    add("-p", "--pidfile", metavar="FILE", help="where to write its process id")
    add("-l", "--log-level", choices=_LEVELS, default="info", help="what to log on standard error (info)")
    add("-D", "--debug", action="store_true", help="the same as --log-level debug")
    add("-v", "--version", action="version", version=f"nnd {versions.program()}")
    return made


def options_of(given: argparse.Namespace) -> Options:
    """Make options of the parsed command line. Raises BadParameterError."""
    secure = given.tls or given.tlsverify
    hosts = tuple(parse_address(text, tls=secure) for text in given.host or [DEFAULT_HOST])
    for address in hosts:
        if not (address.is_local or given.tlsverify or given.plain):
            raise BadParameterError(
                f"--host {address}: whoever reaches this port is root here; give --tlsverify, or {PLAIN} if"
                " that is meant"
            )
    context = None
    if secure:
        authority = Path(given.tlscacert) if given.tlsverify else None
        context = server_context(Path(given.tlscert), Path(given.tlskey), authority)
    mirrors, plain = _mirrors(given.registry_mirror)
    return Options(
        root=Path(given.root).absolute(),
        hosts=hosts,
        group=given.group,
        tls=context,
        insecure=(*given.insecure_registry, *plain),
        mirrors=mirrors,
        experimental=given.experimental,
        live_restore=given.live_restore,
        pid_file=Path(given.pidfile).absolute() if given.pidfile else None,
    )


def _mirrors(urls: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Hosts of mirrors, and which of them are used without TLS. Raises BadParameterError."""
    found = [urlsplit(url) for url in urls]
    for url, parts in zip(urls, found, strict=True):
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
            raise BadParameterError(
                f"--registry-mirror {url}: write http://HOST[:PORT] or https://HOST[:PORT]"
            )
    return tuple(one.netloc for one in found), tuple(one.netloc for one in found if one.scheme == "http")


def main(argv: Sequence[str] | None = None, observer: Observer | None = None) -> int:
    """Run `nnd` and return its exit status: 0 after a signal, 1 when it cannot run, 2 for wrong use."""
    given = parser().parse_args(argv)
    level = "DEBUG" if given.debug else _LEVELS[given.log_level]
    logging.basicConfig(level=level, format=_FORMAT, stream=sys.stderr)
    logging.getLogger("asyncio").setLevel(max(logging.INFO, logging.getLogger().level))
    faulthandler.register(signal.SIGUSR1)
    try:
        options = options_of(given)
        if os.geteuid() != 0:
            raise EngineError("it needs root, for namespaces, mounts and cgroups: start it with sudo")
        _take_all_descriptors()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(options, _say, observer))
    except BadParameterError as error:
        print(f"nnd: {error}", file=sys.stderr)
        return 2
    except (EngineError, OSError) as error:
        print(f"nnd: {error}", file=sys.stderr)
        return 1
    return 0


def _take_all_descriptors() -> None:
    """Clients and containers hold some each; the usual soft limit of 1024 is soon reached."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _say(line: str) -> None:
    print(line, flush=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    return asyncio.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
