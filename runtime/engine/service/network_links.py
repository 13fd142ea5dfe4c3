"""The old links of the network `bridge`, which has no names: lines of `hosts`, and variables. Pure functions.

On other networks a link is only one more name, which ContainerNames finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runtime.engine.service.network_ports import parse_port
from runtime.engine.service.record import ContainerRecord

_NOT_TOLD = ("HOME", "PATH")


def parse_link(text: str) -> tuple[str, str]:
    """Split `container[:alias]`; a container's own `/container:/parent/alias` too."""
    other, _, alias = text.partition(":")
    other = other.lstrip("/")
    return other, alias.rpartition("/")[2] or other


def names_in_hosts(partner: ContainerRecord, alias: str) -> list[str]:
    """Return what stands behind a linked container's address."""
    return list(dict.fromkeys((alias, partner.config.hostname, partner.name)))


def variables(own_name: str, partner: ContainerRecord, alias: str, address: str) -> dict[str, str]:
    """Return what a container is told of a linked one: its ports, its name, its own variables."""
    prefix = alias.upper().replace("-", "_")
    found: dict[str, str] = {}
    ports = sorted(parse_port(text) for text in partner.config.exposed_ports or {})
    first = next((port for port in ports if port[1] == "tcp"), ports[0] if ports else None)
    if first is not None:
        found[f"{prefix}_PORT"] = _url(*first, address)
    for number, protocol in ports:
        key = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found[key] = _url(number, protocol, address)
        found |= {f"{key}_ADDR": address, f"{key}_PORT": str(number), f"{key}_PROTO": protocol}
    found[f"{prefix}_NAME"] = f"/{own_name}/{alias}"
    for name, value in _own_variables(partner.config.env or ()):
        found[f"{prefix}_ENV_{name}"] = value
    return found


def _url(number: int, protocol: str, address: str) -> str:
    return f"{protocol}://{address}:{number}"


def _own_variables(env: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in env:
        name, sign, value = text.partition("=")
        if sign and name not in _NOT_TOLD:
            yield name, value
