"""Settings of the registry client: insecure hosts, certificates, timeouts, limits."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import msgspec

LOCAL = ("127.0.0.0/8", "::1/128")
CERTIFICATES = (Path("/etc/ninetynine/certs.d"), Path("/etc/docker/certs.d"))


class RegistryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a client; times in seconds, sizes in bytes.

    insecure: hosts (`host`, `host:port`, or a network such as 10.0.0.0/8) that may be used without TLS or
    with an untrusted certificate; with trust_loopback, loopback may too. certs: directories with
    `<host[:port]>/*.crt` (CAs to trust), `*.cert` and `*.key` (the client's). mirrors: hosts that are tried
    for the hub's images before the hub.

    connect_s, read_s: timeouts for the connection and for the next byte. answer_s: for a response's head, or
    a whole document. A blob with less than stall_bytes in stall_s fails. parallel: blobs at once. attempts:
    per request, and per piece of a blob without progress; pause_s: before the second, then doubled.
    max_document: of a manifest or config. reserve: disk space that a pull leaves free.
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
        """Say whether `host[:port]` may be used without TLS. Names are not resolved: DNS can lie."""
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
    """Return `host[:port]` without port and IPv6 brackets."""
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
