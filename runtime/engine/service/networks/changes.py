"""Connect a container to a network and disconnect it, whether it runs or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.engine.errors import BadParameterError, ForbiddenError, NotFoundError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import EndpointSettings
from runtime.engine.service.networks import files
from runtime.engine.service.networks.live_network import Attached, LiveNetwork, is_bridge, way_out
from runtime.engine.service.rules.ports import ports_by
from runtime.engine.spawner.protocol import Link

if TYPE_CHECKING:
    from runtime.engine.service.networks.table import NetworkTable


async def connect(networks: NetworkTable, net: LiveNetwork, ref: str, settings: EndpointSettings) -> None:
    """Put a container on `net`. Raises EngineError; nothing has changed then."""
    async with networks.core.table.held_still(ref) as record:
        net.check(settings)
        _check_mode(record, net)
        if net.record.name in record.networks:
            if not record.state.running:
                return  # docker keeps the settings of a container that does not run
            raise ForbiddenError(
                f"endpoint with name {record.name} already exists in network {net.record.name}"
            )
        await _connect(networks, net, record, settings)


async def _connect(
    networks: NetworkTable, net: LiveNetwork, record: ContainerRecord, settings: EndpointSettings
) -> None:
    table, name = networks.core.table, net.record.name
    settings = msgspec.structs.replace(settings, network_id=net.record.id)
    if not record.state.running:
        await table.set_networks(record.id, {**record.networks, name: settings})
        return
    await networks.bring_up(net)
    own = networks.nets_of(record.id)
    attached = net.take(record, settings, "", default_route=net is way_out([*own, net]))
    try:
        # The record comes first: a recovery plugs in what the record says.
        await table.set_networks(record.id, {**record.networks, name: attached.settings})
        await _plug(networks, net, record, attached)
    except BaseException:
        net.give_back(record.id)
        await table.set_networks(record.id, record.networks)
        raise
    networks.publish(net, "connect", record.id)


async def _plug(
    networks: NetworkTable, net: LiveNetwork, record: ContainerRecord, attached: Attached
) -> None:
    """Give a running container its link and names there."""
    await link(networks, net, record, attached)
    await asyncio.to_thread(files.add_hosts, _file(networks, record, "hosts"), record, attached)
    if net.record.user_defined:
        await _write_resolv_conf(networks, record, networks.nets_of(record.id))
        await networks.serve_names(record)


async def link(networks: NetworkTable, net: LiveNetwork, record: ContainerRecord, attached: Attached) -> None:
    """Make a container's link as it is noted, if it is not so already."""
    out = way_out(networks.nets_of(record.id))
    ports = ports_by(record, out.record if out else None)
    request = Link(id=record.id, endpoint=attached.endpoint, connect=True, ports=ports)
    made = await networks.core.spawner.link(request)
    if record.id in net.attached:  # it may have ended since
        net.note(record, attached.settings, made.endpoint)
        networks.core.table.set_ports(record.id, made.ports)


async def disconnect(networks: NetworkTable, net: LiveNetwork, ref: str, *, force: bool) -> None:
    """Take a container off `net`. force: also one that does not exist any more."""
    table = networks.core.table
    try:
        async with table.held_still(ref) as record:
            await _disconnect(networks, net, record)
    except NotFoundError:
        if not force:
            raise
        _forget(networks, net, ref)


async def disconnect_gone(networks: NetworkTable, ref: str, container: str) -> bool:
    """Take a container off a network that is gone, by its name or id; say whether it was on it."""
    table = networks.core.table
    async with table.held_still(container) as record:
        kept = {
            key: endpoint
            for key, endpoint in record.networks.items()
            if ref not in (key, endpoint.network_id)
        }
        if len(kept) == len(record.networks):
            return False
        await table.set_networks(record.id, kept)
        return True


async def _disconnect(networks: NetworkTable, net: LiveNetwork, record: ContainerRecord) -> None:
    name = net.record.name
    if net.record.driver == "host":
        raise ForbiddenError(
            "container cannot be disconnected from host network or connected to host network"
        )
    if name not in record.networks:
        raise ForbiddenError(f"container {record.id} is not connected to network {name}")
    attached = net.attached.get(record.id)
    if record.state.running and attached is not None:
        await _unplug(networks, net, record, attached)
    kept = {key: endpoint for key, endpoint in record.networks.items() if key != name}
    await networks.core.table.set_networks(record.id, kept)


async def _unplug(
    networks: NetworkTable, net: LiveNetwork, record: ContainerRecord, attached: Attached
) -> None:
    spawner = networks.core.spawner
    if is_bridge(net):
        left_off = await spawner.link(Link(id=record.id, endpoint=attached.endpoint, connect=False))
        networks.core.table.set_ports(record.id, left_off.ports)
    net.give_back(record.id)
    networks.publish(net, "disconnect", record.id)
    left = networks.nets_of(record.id)
    out = way_out(left)
    if attached.endpoint.default_route and out is not None:
        old = out.attached[record.id]
        endpoint = msgspec.structs.replace(old.endpoint, default_route=True)
        await link(networks, out, record, msgspec.structs.replace(old, endpoint=endpoint))
    await asyncio.to_thread(files.drop_hosts, _file(networks, record, "hosts"), attached)


def _forget(networks: NetworkTable, net: LiveNetwork, ref: str) -> None:
    for attached in list(net.attached.values()):
        if ref in (attached.name, attached.container):
            net.give_back(attached.container)
            networks.publish(net, "disconnect", attached.container)
            return
    raise NotFoundError(f"No such container: {ref}")


def _check_mode(record: ContainerRecord, net: LiveNetwork) -> None:
    """Refuse network modes that allow no other networks, in docker's words."""
    mode = record.host_config.network_mode
    if mode == "host" or net.record.driver == "host":
        raise BadParameterError(
            "container cannot be disconnected from host network or connected to host network"
        )
    if mode.startswith("container:"):
        raise BadParameterError(
            "container sharing network namespace with another container or host cannot be connected to any "
            "other network"
        )
    if net.record.driver == "null" or "none" in record.networks:
        raise BadParameterError(
            "container cannot be connected to multiple networks with one of the networks in private (none) "
            "mode"
        )


async def _write_resolv_conf(
    networks: NetworkTable, record: ContainerRecord, nets: list[LiveNetwork]
) -> None:
    resolver = any(net.record.user_defined for net in nets)
    text = networks.resolv_conf(record, resolver=resolver)
    await asyncio.to_thread(files.replace_in_place, _file(networks, record, "resolv.conf"), text)


def _file(networks: NetworkTable, record: ContainerRecord, name: str) -> Path:
    return networks.core.table.directory(record.id) / name
