"""The networks of a daemon: operations of clients, and addresses and names for starting containers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import msgspec

from runtime.engine.errors import ConflictError, EngineError, ForbiddenError, NotFoundError
from runtime.engine.service.model.filters import Filters
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import EndpointSettings
from runtime.engine.service.networks import files
from runtime.engine.service.networks.changes import connect, disconnect, disconnect_gone, link
from runtime.engine.service.networks.create import make_record, without_bridge
from runtime.engine.service.networks.default_bridge import bridge_record
from runtime.engine.service.networks.live_network import Attached, LiveNetwork, interfaces, is_bridge, way_out
from runtime.engine.service.networks.query import find, prunable, selected
from runtime.engine.service.networks.table import NetworkTable
from runtime.engine.service.rules import namespace_modes, old_links
from runtime.engine.service.rules.network_record import (
    PREDEFINED,
    NetworkCreate,
    NetworkRecord,
    NetworkView,
)
from runtime.engine.service.rules.ports import ports_by, ports_of
from runtime.network.kernel.host_routes import read_addresses, read_routes
from runtime.network.model import Endpoint, Port

log = logging.getLogger(__name__)


class Networks(NetworkTable):
    """All networks. Used in the loop only. `ref`: a name, an id, or its unique start.

    Call open() once the spawner is there, and close() at the end, which leaves bridges to the spawner.
    """

    async def open(self) -> None:
        """Read networks/*.json; create bridge, host and none at the first start."""
        for record in await asyncio.to_thread(self._store.load):
            try:
                self.nets[record.id] = LiveNetwork(record)
            except EngineError as error:
                log.warning("network %s is left out: %s", record.name, error)
        for name in PREDEFINED:
            old = next((record for record in self._records() if record.name == name), None)
            new = self._bridge(old) if name == "bridge" else old or without_bridge(name)
            if new is not old:
                await self._keep(new)

    def _bridge(self, old: NetworkRecord | None) -> NetworkRecord:
        others = [record for record in self._records() if record is not old]
        in_use = bool(self.core.spawner.running)
        return bridge_record(old, self.core.settings, others, in_use=in_use)

    async def close(self) -> None:
        """Stop answering for names. The bridges are the spawner's."""
        while self._servers:
            self._servers.popitem()[1].close()

    # ---- for the containers' life -----------------------------------------------------------------------

    async def check(self, record: ContainerRecord) -> dict[str, EndpointSettings]:
        """Refuse impossible addresses; return all its networks by name, with ids.

        As in docker, an unknown network is looked up again at the start.
        """
        mode = record.host_config.network_mode or "bridge"
        if mode.startswith("container:"):
            return {}
        first = self._id_of("bridge" if mode == "default" else mode)
        named = {
            self._id_of("bridge" if ref == "default" else ref): endpoint
            for ref, endpoint in record.networks.items()
        }
        if not named or first not in self.nets or self.nets[first].record.user_defined:
            named = {first: named.pop(first, EndpointSettings()), **named}
        found: dict[str, EndpointSettings] = {}
        for ref, settings in named.items():
            if ref not in self.nets:
                found[ref] = settings
                continue
            net = self.nets[ref]
            if ref == first and record.config.mac_address and not settings.mac_address:
                settings = msgspec.structs.replace(settings, mac_address=record.config.mac_address)
            net.check(settings)
            found[net.record.name] = msgspec.structs.replace(settings, network_id=ref)
        ports_of(record)
        files.extra_hosts(record, "0.0.0.0")
        return found

    def _id_of(self, ref: str) -> str:
        """Return a network's id, or `ref` when it is unknown."""
        try:
            return find(self.nets, ref).record.id
        except NotFoundError:
            return ref

    def _net_of(self, name: str, settings: EndpointSettings) -> LiveNetwork:
        """Return a container's network: the same as before, or another of that name. NotFoundError."""
        return self.nets.get(settings.network_id) or find(self.nets, name)

    async def endpoints_for(
        self, record: ContainerRecord
    ) -> tuple[tuple[Endpoint, ...], tuple[Port, ...], dict[str, EndpointSettings]]:
        """Take addresses for a start, and make the bridges."""
        wanted = {self._net_of(name, asked): asked for name, asked in record.networks.items()}
        out = way_out(wanted)
        for net in (*wanted, *([find(self.nets, "bridge")] if self._needs_gateway(record) else [])):
            await self.bring_up(net)
        try:
            for net in wanted:
                self._require(net)
            taken = [
                net.take(record, settings, name, default_route=net is out)
                for name, (net, settings) in zip(interfaces(wanted), wanted.items(), strict=True)
            ]
            ports = ports_by(record, out.record if out else None)
        except BaseException:
            for net in wanted:
                net.give_back(record.id)
            raise
        networks = {net.record.name: place.settings for net, place in zip(wanted, taken, strict=True)}
        endpoints = [asked.endpoint for net, asked in zip(wanted, taken, strict=True) if is_bridge(net)]
        return tuple(endpoints), ports, networks

    async def started(self, record: ContainerRecord) -> None:
        """Serve names for a container that runs now. The addresses of a recovered one are in its record."""
        nets = self.nets_of(record.id)
        if nets:
            for net in nets:
                self.publish(net, "connect", record.id)
        else:
            nets = await self._adopt(record)
        if any(net.record.user_defined for net in nets):
            await self.serve_names(record)

    async def _adopt(self, record: ContainerRecord) -> list[LiveNetwork]:
        """Restore a container's places, also one that was being connected or disconnected."""
        settings = [
            endpoint
            for endpoint in record.networks.values()
            if endpoint.network_id in self.nets
            and (endpoint.mac_address or not is_bridge(self.nets[endpoint.network_id]))
        ]
        found = [self.nets[endpoint.network_id] for endpoint in settings]
        out = way_out(found)
        for net, endpoint in zip(found, settings, strict=True):
            try:
                attached = net.adopt(record, endpoint, default_route=net is out)
                if is_bridge(net):
                    await self.bring_up(net)
                    await link(self, net, record, attached)
            except ConflictError as error:  # it has ended since
                log.debug("container %s on network %s: %s", record.id, net.record.name, error)
            except EngineError as error:
                log.warning("container %s on network %s: %s", record.id, net.record.name, error)
        return found

    async def release(self, record: ContainerRecord) -> None:
        """Free the addresses and names of an ended container. Idempotent."""
        server = self._servers.pop(record.id, None)
        if server is not None:
            server.close()
        for net in self.nets_of(record.id):
            net.give_back(record.id)
            self.publish(net, "disconnect", record.id)

    def renamed(self, record: ContainerRecord) -> None:
        """Register the new name of a running container."""
        for net in self.nets_of(record.id):
            old = net.attached[record.id]
            net.note(record, old.settings, old.endpoint)

    def files_for(self, record: ContainerRecord) -> dict[str, bytes]:
        """Return the contents of `hosts` and `resolv.conf`; call it after endpoints_for."""
        nets = self.nets_of(record.id)
        attached = [net.attached[record.id] for net in nets]
        resolver = any(net.record.user_defined for net in nets)
        return {
            "hosts": files.hosts(record, attached, self._links(record), self._host_gateway()),
            "resolv.conf": self.resolv_conf(record, resolver=resolver),
        }

    def _host_gateway(self) -> str:
        return self.core.settings.host_gateway_ip or find(self.nets, "bridge").record.spec().gateway

    def _needs_gateway(self, record: ContainerRecord) -> bool:
        """Say whether one of its extra hosts is the host-gateway, at the address of the network bridge."""
        named = any(text.endswith("host-gateway") for text in record.host_config.extra_hosts or ())
        return named and not self.core.settings.host_gateway_ip

    def _links(self, record: ContainerRecord) -> dict[str, list[str]]:
        """Return what its old links add to `hosts`: address → names."""
        found: dict[str, list[str]] = {}
        for partner, alias, place in self._linked(record):
            names = found.get(place.addresses[0], [])
            found[place.addresses[0]] = list(
                dict.fromkeys((*names, *old_links.names_in_hosts(partner, alias)))
            )
        return found

    def link_variables(self, record: ContainerRecord, *, needed: bool = True) -> dict[str, str]:
        """Return the variables of a container's old links; to be called after endpoints_for."""
        found: dict[str, str] = {}
        for partner, alias, place in self._linked(record, needed=needed):
            found |= old_links.variables(record.name, partner, alias, place.addresses[0])
        return found

    def _linked(
        self, record: ContainerRecord, *, needed: bool = True
    ) -> Iterator[tuple[ContainerRecord, str, Attached]]:
        """Yield (container, alias, place) of old links. needed: their containers have to run."""
        bridge = find(self.nets, "bridge")
        if record.id not in bridge.attached or namespace_modes.on_named_network(record.host_config):
            return
        for other, alias in map(old_links.parse_link, record.host_config.links or ()):
            try:
                partner = old_links.running(self.core.table.get, other, record.name, alias)
            except EngineError:
                if needed:
                    raise
                continue
            if partner.id in bridge.attached:
                yield partner, alias, bridge.attached[partner.id]
            elif needed:
                raise EngineError(
                    f"container {partner.id} not attached to default bridge network; connect it there, or "
                    "use a network of your own"
                )

    # ---- for clients ------------------------------------------------------------------------------------

    async def create(self, request: NetworkCreate) -> str:
        """Make a network; return its id."""
        async with self._making:
            record = make_record(
                request, self._records(), read_routes(), read_addresses(), self.core.settings
            )
            net = await self._keep(record)
            try:
                if is_bridge(net):
                    await self._make_bridge(net)
            except BaseException:
                self._store.remove(record.id)
                del self.nets[record.id]
                raise
        self.publish(net, "create")
        return record.id

    async def prune(self, filters: Filters | None = None) -> list[str]:
        """Remove networks that no container is on; return their names."""
        removed = []
        for net in prunable(self.nets.values(), filters or {}):
            try:
                await self.remove(net.record.id)
            except EngineError as error:
                log.info("network %s was not pruned: %s", net.record.name, error)
            else:
                removed.append(net.record.name)
        self.core.events.publish("network", "prune", "", {"reclaimed": "0"})
        return removed

    def list(self, filters: Filters | None = None) -> list[NetworkView]:
        """Return those that match, oldest first."""
        return [net.view(containers=False) for net in selected(self.nets.values(), filters or {})]

    def inspect(self, ref: str) -> NetworkView:
        """Return one network with its running containers."""
        return find(self.nets, ref).view(containers=True)

    async def remove(self, ref: str) -> None:
        """Remove a network that no container is on."""
        net = find(self.nets, ref)
        record = net.record
        if record.predefined:
            raise ForbiddenError(f"{record.name} is a pre-defined network and cannot be removed")
        async with self._making:
            if record.id not in self.nets:
                raise NotFoundError(f"network {ref} not found")
            if net.attached:
                raise ForbiddenError(
                    f"error while removing network: network {record.name} id {record.id} has active endpoints"
                )
            del self.nets[record.id]
            self._up.discard(record.id)
            try:
                await self.core.spawner.network_down(record.id)
            except BaseException:
                self.nets[record.id] = net
                raise
            self._store.remove(record.id)  # last: without a record, nobody would take the bridge down
        self.publish(net, "destroy")

    async def connect(self, ref: str, container: str, settings: EndpointSettings | None = None) -> None:
        """Put a container on one more network, running or not."""
        await connect(self, find(self.nets, ref), container, settings or EndpointSettings())

    async def disconnect(self, ref: str, container: str, *, force: bool = False) -> None:
        """Disconnect a container from a network. force: even if one of the two does not exist any more."""
        try:
            net = find(self.nets, ref)
        except NotFoundError:
            if not force or not await disconnect_gone(self, ref, container):
                raise
        else:
            await disconnect(self, net, container, force=force)
