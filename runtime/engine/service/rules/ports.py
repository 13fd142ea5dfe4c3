"""Convert published ports from a request to what the spawner binds. Pure functions."""

from __future__ import annotations

from typing import Literal, cast

from runtime.docker_syntax import ports
from runtime.engine.errors import BadParameterError, refusing
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import PortBinding
from runtime.engine.service.rules.network_record import NetworkRecord
from runtime.network.model import Port

_PROTOCOLS = ("tcp", "udp")


def ports_of(record: ContainerRecord, host_binding: str = "") -> tuple[Port, ...]:
    """Return the ports to publish. host_binding: the address for those that name none.

    Raises BadParameterError for an invalid port.
    """
    found: list[Port] = []
    bindings = record.host_config.port_bindings or {}
    for key, wanted in bindings.items():
        number, protocol = parse_port(key)
        found += [_port(number, protocol, binding, host_binding) for binding in wanted or [PortBinding()]]
    if record.host_config.publish_all_ports:
        bound = {(port.container, port.protocol) for port in found}
        wanted_too = [parse_port(key) for key in exposed(record)]
        found += [_port(*port, PortBinding(), host_binding) for port in wanted_too if port not in bound]
    return tuple(found)


def exposed(record: ContainerRecord) -> list[str]:
    """Return the ports that a container exposes, as `80/tcp`, each once: clients also write `80`.

    As in docker, a container without a network of its own exposes none.
    """
    mode = record.host_config.network_mode
    if mode in ("host", "none") or mode.startswith("container:"):
        return []
    keys = (key.lower().partition("/") for key in record.config.exposed_ports or {})
    return sorted({f"{number}/{protocol or 'tcp'}" for number, _, protocol in keys})


def ports_by(record: ContainerRecord, way_out: NetworkRecord | None) -> tuple[Port, ...]:
    """Return the ports to publish on the network of the default route, if it is not internal."""
    return () if way_out is None or way_out.internal else ports_of(record, way_out.host_binding)


def parse_port(text: str) -> tuple[int, Literal["tcp", "udp"]]:
    """Read `80/tcp` or `80`. Raises BadParameterError."""
    with refusing():
        number, last, protocol = ports.parse(text)
    if protocol not in _PROTOCOLS:
        raise BadParameterError(f'invalid port specification: "{text}": publish tcp or udp')
    if not number or number != last:
        raise BadParameterError(f'invalid port specification: "{text}"')
    return number, cast(Literal["tcp", "udp"], protocol)


def _port(number: int, protocol: Literal["tcp", "udp"], binding: PortBinding, host_binding: str) -> Port:
    with refusing():
        first, last = ports.range_of(binding.host_port or "0")
    return Port(
        host=first,
        host_end=last if last > first else 0,
        container=number,
        protocol=protocol,
        host_ip=(binding.host_ip or host_binding).strip("[]") or None,
    )
