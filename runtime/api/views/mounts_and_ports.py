"""Mounts and ports of a container, shared by the list and the inspect document."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from runtime.engine.service.model.record import ContainerRecord, MountPoint
from runtime.engine.service.model.request import Body, PortBinding
from runtime.engine.service.rules.ports import exposed


class Mount(Body, kw_only=True):
    """A mount. name, driver: of a volume. mode: as it was requested."""

    type: str
    name: str | UnsetType = UNSET
    source: str
    destination: str
    driver: str | UnsetType = UNSET
    mode: str
    rw: bool = msgspec.field(name="RW")
    propagation: str


class PortRow(Body, kw_only=True):
    """A port in the list. ip, public_port: where it is published."""

    ip: str | UnsetType = msgspec.field(default=UNSET, name="IP")
    private_port: int
    public_port: int | UnsetType = UNSET
    type: str


def mount(point: MountPoint) -> Mount:
    """Make the document of one mount."""
    volume = point.type == "volume"
    return Mount(
        type=point.type,
        name=point.name if volume else UNSET,
        source=point.source,
        destination=point.destination,
        driver="local" if volume else UNSET,
        mode=point.mode,
        rw=not point.read_only,
        propagation=point.propagation if not volume else "",
    )


def port_map(record: ContainerRecord) -> dict[str, list[PortBinding] | None]:
    """Return `80/tcp` → where it is published (None: only exposed); empty while nothing runs."""
    if not record.state.running:
        return {}
    found: dict[str, list[PortBinding] | None] = dict.fromkeys(exposed(record))
    for port in record.state.ports:
        bindings = found.get(f"{port.container}/{port.protocol}") or []
        bindings.append(PortBinding(host_ip=port.host_ip or "0.0.0.0", host_port=str(port.host)))
        found[f"{port.container}/{port.protocol}"] = bindings
    return found


def port_rows(record: ContainerRecord) -> list[PortRow]:
    """Return the column PORTS of the list, by port."""
    rows = []
    for name, bindings in port_map(record).items():
        number, _, protocol = name.partition("/")
        if not number.isdecimal():
            continue
        if not bindings:
            rows.append(PortRow(private_port=int(number), type=protocol or "tcp"))
        rows += [
            PortRow(
                ip=binding.host_ip or "",
                private_port=int(number),
                public_port=int(binding.host_port or 0),
                type=protocol,
            )
            for binding in bindings or ()
        ]
    return sorted(rows, key=lambda row: (row.private_port, row.type, str(row.ip)))
