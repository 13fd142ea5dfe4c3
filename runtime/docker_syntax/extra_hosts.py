"""Extra lines of /etc/hosts, `NAME:ADDRESS` or `NAME=ADDRESS`; IPv6 with or without brackets."""

import _socket

from runtime.docker_syntax import MalformedError

GATEWAY = "host-gateway"


def parse(text: str) -> tuple[str, str]:
    """Return name and address, or the word host-gateway. Raises MalformedError in dockerd's words."""
    name, sign, address = text.partition("=" if "=" in text else ":")
    if not sign or not name or ":" in name:
        raise MalformedError(f'bad format for add-host: "{text}"')
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    if address != GATEWAY and not _is_address(address):
        raise MalformedError(f'invalid IP address in add-host: "{address}"')
    return name, address


def _is_address(text: str) -> bool:
    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL, or not ASCII
        return False
    return True
