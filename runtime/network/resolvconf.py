"""Read /etc/resolv.conf, and write it and /etc/hosts for containers. Pure except read_host()."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path

import msgspec

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_LONGEST = 1 << 20
_FALLBACK = ("8.8.8.8", "8.8.4.4")
"""Docker's servers for hosts whose own name servers are all on the loopback."""

_HOSTS = (("127.0.0.1", "localhost"),)
_HOSTS6 = (
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)


class ResolvConf(msgspec.Struct, frozen=True):
    """Name servers (addresses), search domains and options, in order."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@functools.lru_cache(maxsize=8)
def parse(text: str) -> ResolvConf:
    """Parse a resolv.conf; invalid lines are ignored, the last `search` or `domain` counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver" and is_address(words[1]):
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(words[1:])
        elif words[0] == "options":
            options += words[1:]
    return ResolvConf(tuple(servers), search, tuple(options))


def write(conf: ResolvConf) -> str:
    """Return the text that parse() reads as `conf`."""
    lines = [f"nameserver {server}" for server in conf.servers]
    if conf.search:
        lines.append("search " + " ".join(conf.search))
    if conf.options:
        lines.append("options " + " ".join(conf.options))
    return "".join(f"{line}\n" for line in lines)


def read_host() -> ResolvConf:
    """Return the host's settings, without systemd-resolved's stub, which only the host can reach."""
    found = ResolvConf()
    for path in _FILES:
        try:
            found = parse(_read(path))
        except OSError:
            continue
        if found.servers != ("127.0.0.53",):
            break
    return found


def _read(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _LONGEST).decode("utf-8", "replace")
    finally:
        os.close(fd)


@functools.lru_cache(maxsize=8)
def for_containers(host: ResolvConf) -> ResolvConf:
    """Return settings that work in a container: no loopback servers, docker's fallback if none is left."""
    servers = tuple(server for server in host.servers if not _is_loopback(server))
    return msgspec.structs.replace(host, servers=servers or _FALLBACK)


def hosts_text(entries: Iterable[tuple[str, str]], *, ipv6: bool) -> str:
    """Return an /etc/hosts: the usual lines, then `entries` (address, names). ipv6: with ::1."""
    own = (*_HOSTS, *_HOSTS6) if ipv6 else _HOSTS
    return "".join(f"{address}\t{names}\n" for address, names in (*own, *entries))


def is_address(text: str) -> bool:
    """Say whether a text is an IP address; a scope (`%eth0`) is allowed."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def with_overrides(
    base: ResolvConf, servers: Sequence[str], search: Sequence[str], options: Sequence[str]
) -> ResolvConf:
    """Replace `base`'s settings by those given; a search of "." alone means none."""
    wanted = tuple(search)
    return ResolvConf(
        tuple(servers) or base.servers,
        (() if wanted == (".",) else wanted) or (() if wanted else base.search),
        tuple(options) or base.options,
    )


def _is_loopback(server: str) -> bool:
    return ip_address(server).is_loopback
