"""Old links (`--link`) of the network `bridge`, which has no names: lines of `hosts`, and variables. Pure.

On other networks a link is only one more name, which ContainerNames finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from runtime.engine.errors import BadParameterError, EngineError, NotFoundError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import HostConfig
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.ports import exposed, parse_port

_NOT_SHARED = ("HOME", "PATH")


Find = Callable[[str], ContainerRecord]


def parse_link(text: str) -> tuple[str, str]:
    """Split `container[:alias]`, or what inspect shows, `/container:/parent/alias`. BadParameterError."""
    if not text:
        raise BadParameterError("empty string specified for links")
    other, _, alias = text.partition(":")
    if ":" in alias:
        raise BadParameterError(f"bad format for links: {text}")
    other = other.lstrip("/")
    return other, alias.rpartition("/")[2] or other


def bound(host: HostConfig, find: Find) -> list[str] | None:
    """Return old links with ids instead of names, which survive a rename.

    Raises BadParameterError. Of two with one alias the first counts. find: raises NotFoundError.
    """
    if not host.links or namespace_modes.on_named_network(host):
        return host.links
    found: dict[str, str] = {}
    for name, alias in map(parse_link, host.links):
        partner = _with_network(name, find)
        if namespace_modes.sharing(partner.host_config, "network").host:
            raise BadParameterError(
                "conflicting options: host type networking can't be used with links. This would result in "
                "undefined behavior"
            )
        found.setdefault(alias, f"{partner.id}:{alias}")
    return list(found.values())


def _with_network(name: str, find: Find) -> ContainerRecord:
    """Find a container, or the one whose network it shares."""
    try:
        partner = find(name)
    except NotFoundError as error:
        # To a client, 404 means that the image is missing.
        raise BadParameterError(f"could not get container for {name}: {error}") from error
    shared = namespace_modes.sharing(partner.host_config, "network").ref
    return _with_network(shared, find) if shared else partner


def running(find: Find, other: str, own: str, alias: str) -> ContainerRecord:
    """Find the container to which a link of a container that starts leads. Raises EngineError."""
    try:
        partner = find(other)
    except NotFoundError as error:
        raise EngineError(
            f"Cannot link to a non running container: {other} AS /{own}/{alias}: {error}"
        ) from error
    if not partner.state.running:
        raise EngineError(f"Cannot link to a non running container: /{partner.name} AS /{own}/{alias}")
    return partner


def partners(record: ContainerRecord, find: Find) -> Iterator[tuple[str, ContainerRecord]]:
    """Yield (alias, container) of a container's old links, except those whose container is gone."""
    if namespace_modes.on_named_network(record.host_config):
        return
    for other, alias in map(parse_link, record.host_config.links or ()):
        try:
            yield alias, find(other)
        except NotFoundError:
            continue


def shown(record: ContainerRecord, find: Find) -> list[str] | None:
    """Return old links as docker's inspect has them: `/db:/web/alias`."""
    found = partners(record, find)
    return [f"/{partner.name}:/{record.name}/{alias}" for alias, partner in found] or None


def names_by_links(records: Iterable[ContainerRecord], find: Find) -> dict[str, list[str]]:
    """Return the id of each container that old links lead to → the names it has by them, `/web/alias`."""
    found: dict[str, list[str]] = {}
    for record in records:
        for alias, partner in partners(record, find):
            found.setdefault(partner.id, []).append(f"/{record.name}/{alias}")
    return found


def names_in_hosts(partner: ContainerRecord, alias: str) -> list[str]:
    """Return the names of a linked container's address."""
    return list(dict.fromkeys((alias, partner.config.hostname, partner.name)))


def variables(own_name: str, partner: ContainerRecord, alias: str, address: str) -> dict[str, str]:
    """Return a container's variables for a linked one: its ports, its name, its own variables."""
    prefix = alias.upper().replace("-", "_")
    found: dict[str, str] = {}
    ports = sorted(parse_port(text) for text in exposed(partner))
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
        if sign and name not in _NOT_SHARED:
            yield name, value
