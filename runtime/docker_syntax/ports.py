"""Ports of containers and hosts: `80`, `53/udp`, `8000-8010/tcp`."""

from runtime.docker_syntax import MalformedError

PROTOCOLS = ("tcp", "udp", "sctp")
_MOST = 65535


def parse(text: str) -> tuple[int, int, str]:
    """Return first port, last port and protocol. Raises MalformedError in dockerd's words."""
    places, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise MalformedError(f'invalid port specification: "{text}"')
    return *range_of(places, text), protocol


def range_of(places: str, text: str = "") -> tuple[int, int]:
    """Return the ends of `80` or `80-90`. text: the whole specification, for the error MalformedError."""
    first, dash, last = places.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdecimal() and len(end) < 6 for end in ends):
        raise MalformedError(f'invalid port specification: "{text or places}"')
    low, high = map(int, ends)
    if not low <= high <= _MOST:
        raise MalformedError(f'invalid port specification: "{text or places}"')
    return low, high
