"""`--add-host`: lines of /etc/hosts as docker's client reads them. Pure."""

import _socket

from runtime.cli.errors import misuse


def extra_host(text: str) -> str:
    """`NAME:IP` or `NAME=IP`, an IPv6 address bare or in brackets, or the word host-gateway → `NAME:IP`."""
    name, sign, address = text.partition("=" if "=" in text else ":")
    if not sign or not name or ":" in name:
        raise misuse("--add-host", text, "bad format for add-host; write NAME:IP")
    if address[:1] == "[" and address[-1:] == "]":
        address = address[1:-1]
    if address != "host-gateway":
        try:
            _socket.inet_pton(_socket.AF_INET6 if ":" in address else _socket.AF_INET, address)
        except OSError:
            raise misuse("--add-host", text, "invalid IP address in add-host; write NAME:IP") from None
    return f"{name}:{address}"
