"""The table of networks: records, bridges that are up, and name servers of containers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from runtime.engine.errors import NotFoundError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.networks import files
from runtime.engine.service.networks.create import renumbered
from runtime.engine.service.networks.live_network import LiveNetwork, is_bridge
from runtime.engine.service.networks.resolution import ContainerNames
from runtime.engine.service.rules.network_record import NetworkRecord, NetworkStore
from runtime.network import resolvconf
from runtime.network.host import subnet_lock
from runtime.network.kernel.host_routes import has_link, read_routes

if TYPE_CHECKING:
    from runtime.engine.service.core import Core
    from runtime.engine.spawner.client import Spawner
    from runtime.network.dns import NameServer

log = logging.getLogger(__name__)


class NetworkTable:
    """The networks by id, and their bridges and name servers. Networks adds the operations of clients."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.nets: dict[str, LiveNetwork] = {}
        self._store = NetworkStore(core.root / "networks")
        self._servers: dict[str, NameServer] = {}
        self._up: set[str] = set()
        self._spawner: Spawner | None = None
        self._making = asyncio.Lock()

    def _records(self) -> list[NetworkRecord]:
        return [net.record for net in self.nets.values()]

    async def _keep(self, record: NetworkRecord) -> LiveNetwork:
        net = LiveNetwork(record)
        await asyncio.to_thread(self._store.save, record)
        self.nets[record.id] = net
        return net

    async def bring_up(self, net: LiveNetwork) -> None:
        """Have a network's bridge made, unless the spawner has it already.

        NotFoundError when it was removed.
        """
        if self._spawner is not self.core.spawner:
            self._spawner = self.core.spawner
            self._up.clear()
        if is_bridge(net) and net.record.id not in self._up:
            async with self._making:
                await self._make_bridge(net)

    def _require(self, net: LiveNetwork) -> None:
        if self.nets.get(net.record.id) is not net:
            raise NotFoundError(f"network {net.record.name} not found")

    async def _make_bridge(self, net: LiveNetwork) -> None:
        self._require(net)
        async with subnet_lock.held_in_loop():
            if not (net.record.configured or net.attached or has_link(net.record.link)):
                await self._choose_again(net)
            await self.core.spawner.network_up(net.record.spec())
        self._up.add(net.record.id)

    async def _choose_again(self, net: LiveNetwork) -> None:
        """Choose a network's subnets again, if they were chosen and the host has a route there by now.

        Other daemons choose from the same list, and all have the network bridge, which is made at first need.
        """
        routes = read_routes()
        if net.overlaps(routes):
            others = [record for record in self._records() if record.id != net.record.id]
            net.renumber(renumbered(net.record, others, routes, self.core.settings))
            await asyncio.to_thread(self._store.save, net.record)
            subnets = ", ".join(pool.subnet for pool in net.record.pools)
            log.warning("network %s is %s now: the host has got a route", net.record.name, subnets)

    async def serve_names(self, record: ContainerRecord) -> None:
        """Serve the resolver of a running container, if it is not served already."""
        if record.id in self._servers:
            return
        from runtime.network.dns import NameServer  # 0.1 s, for user-defined networks only

        fds = await self.core.spawner.resolver(record.id)
        if fds:
            host = self.core.settings.at_start(record.host_config)
            names = ContainerNames(record.id, host, lambda: self.nets_of(record.id))
            self._servers[record.id] = await NameServer.open(fds, names)

    def resolv_conf(self, record: ContainerRecord, *, resolver: bool) -> bytes:
        """Return a container's resolv.conf. resolver: it asks the daemon, which asks the others."""
        host = self.core.settings.at_start(record.host_config)
        return files.resolv_conf(host, resolvconf.read_host(), resolver=resolver)

    def nets_of(self, container: str) -> list[LiveNetwork]:
        """Return the networks a container is on now."""
        return [net for net in self.nets.values() if container in net.attached]

    def publish(self, net: LiveNetwork, action: str, container: str = "") -> None:
        """Publish an event of a network."""
        attributes = {"name": net.record.name, "type": net.record.driver}
        if container:
            attributes["container"] = container
        self.core.events.publish("network", action, net.record.id, attributes)
