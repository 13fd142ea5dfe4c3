"""How registries are talked to: which without TLS, whose certificates, how long to wait, how much to take."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec

LOCAL = ("127.0.0.0/8", "::1/128")
CERTIFICATES = (Path("/etc/ninetynine/certs.d"), Path("/etc/docker/certs.d"))


class RegistryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a client; times in seconds, sizes in bytes.

    insecure: hosts (`host`, `host:port`, or a network as 10.0.0.0/8) that may be used without TLS or with a
    certificate that nobody vouches for; loopback may too, as `trust_loopback` says. certs: directories with
    `<host[:port]>/*.crt` (authorities to trust), `*.cert` and `*.key` (of ours). mirrors: hosts that are
    asked for the hub's images before the hub is.

    connect_s, read_s: until there is a connection; until the next byte. answer_s: until an answer's head, or
    a whole document, is there. A blob that brings less than `stall_bytes` in `stall_s` is broken off.
    parallel: blobs at once. attempts: for each request, and for each piece of a blob that brings nothing;
    pause_s: before the second one, doubled with each further. max_document: of a manifest or config.
    reserve: of the store's disk that a pull leaves free.
    """

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    trust_loopback: bool = True
    certs: tuple[Path, ...] = CERTIFICATES
    connect_s: float = 15.0
    read_s: float = 30.0
    answer_s: float = 60.0
    stall_s: float = 60.0
    stall_bytes: int = 16 << 10
    parallel: int = 4
    attempts: int = 4
    pause_s: float = 0.25
    max_document: int = 4 << 20
    reserve: int = 256 << 20

    def is_insecure(self, host: str) -> bool:
        """Say whether `host[:port]` may be used without TLS. Names are not looked up: a lookup can lie."""
        name = host_name(host)
        if host in self.insecure or name in self.insecure:
            return True
        if name == "localhost":
            return self.trust_loopback
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        trusted = (*LOCAL, *self.insecure) if self.trust_loopback else self.insecure
        return any(address in network for network in _networks(trusted))


def host_name(host: str) -> str:
    """`host[:port]` without the port and without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _networks(entries: tuple[str, ...]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for entry in entries:
        if "/" in entry:
            try:
                found.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                continue
    return found
