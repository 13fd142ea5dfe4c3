"""Attach containers to networks: none, host, bridge (routed, own addresses seen outside), nat (masqueraded).

Each mode with a bridge has one of its own, made at first need, so packets of `bridge` never meet a NAT rule.
Inside a container there is IPv4 only. A host that does not forward on its uplink answers containers itself,
but not on behalf of others: see uplink_warning().

No state directory: links carry their owner in name and alias, the table in its name, and namespaces are fds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from runtime.network import links, subnets, translation
from runtime.network.errors import NetworkError
from runtime.network.links import Links
from runtime.network.model import Attachment, Bridge, BridgedMode, Mode, Port
from runtime.network.netns import NetworkNamespace
from runtime.network.nft import set_descriptors_aside
from runtime.network.translation import Translation
from runtime.spawn.owner import Owner


class _Network:
    """A bridge, its free addresses, and namespaces that are ready on it."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.subnet = IPv4Network(bridge.subnet)
        # First in, first out: an address rests as long as possible before it is used again.
        self.addresses = deque(subnets.hosts(self.subnet))
        self.ready: deque[Attachment] = deque()


class NetworkManager:
    """Networks of this process. All methods raise NetworkError; thread-safe, except close().

    pool_size: namespaces kept ready for each mode in use, by refill().
    """

    def __init__(self, owner: Owner | None = None, *, pool_size: int = 0) -> None:
        set_descriptors_aside()
        self.owner = owner or Owner.current()
        self._pool_size = pool_size
        self._links: Links | None = None
        self._translation = Translation(self.owner)
        self._networks: dict[BridgedMode, _Network] = {}
        self._bare: deque[Attachment] = deque()
        self._given: dict[int, Attachment] = {}
        self._lock = threading.RLock()

    # ---- containers ------------------------------------------------------------------------------------

    def attach(self, mode: Mode, ports: tuple[Port, ...] = ()) -> Attachment:
        """Return a network of `mode` for one container, from the pool when one is ready."""
        if ports and mode in ("none", "host"):
            raise NetworkError(f"network mode {mode} publishes no ports; use bridge or nat")
        if mode == "host":
            return Attachment(mode="host")
        with self._lock:
            ready = self._bare if mode == "none" else self._network(mode).ready
            attachment = ready.popleft() if ready else self._make(mode)
            if ports:
                try:
                    assert mode != "none" and attachment.address is not None
                    self._translation.publish(ports, self._network(mode).bridge, attachment.address)
                except BaseException:
                    self.detach(attachment)
                    raise
                attachment = msgspec.structs.replace(attachment, ports=ports)
            assert attachment.netns_fd is not None
            self._given[attachment.netns_fd] = attachment
            return attachment

    def detach(self, attachment: Attachment) -> None:
        """Free an attachment; the kernel reaps its links once the container's processes have ended."""
        with self._lock:
            try:
                self._translation.withdraw(attachment.ports)
            finally:
                if attachment.netns_fd is not None:
                    os.close(attachment.netns_fd)
                    self._given.pop(attachment.netns_fd, None)
                if attachment.address is not None and attachment.mode in self._networks:
                    self._networks[attachment.mode].addresses.append(IPv4Address(attachment.address))

    def refill(self, mode: Mode, most: int | None = None) -> bool:
        """Add up to `most` to the pool of `mode`; call it outside the start path. True when it is full."""
        if mode == "host":
            return True
        with self._lock:
            ready = self._bare if mode == "none" else self._network(mode).ready
        while len(ready) < self._pool_size and most != 0:
            with self._lock:
                ready.append(self._make(mode))
            most = None if most is None else most - 1
        return len(ready) >= self._pool_size

    def bridge(self, mode: BridgedMode) -> Bridge:
        """Return the bridge of `mode`, made now if need be (for routes to it, and for taps of VMs)."""
        with self._lock:
            return self._network(mode).bridge

    def reserve(self, mode: BridgedMode) -> str:
        """Take an address of `mode`'s subnet for what is no container (a VM); release() gives it back."""
        with self._lock:
            return str(self._next_address(self._network(mode)))

    def release(self, mode: BridgedMode, address: str) -> None:
        """Give a reserved address back."""
        with self._lock:
            self._network(mode).addresses.append(IPv4Address(address))

    # ---- making ----------------------------------------------------------------------------------------

    def _make(self, mode: Mode) -> Attachment:
        namespace = NetworkNamespace()
        try:
            if mode == "none":
                return Attachment(mode="none", netns_fd=namespace.release())
            assert mode != "host"
            return self._plug(mode, self._network(mode), namespace)
        finally:
            namespace.close()

    def _plug(self, mode: BridgedMode, network: _Network, namespace: NetworkNamespace) -> Attachment:
        address, link = self._add_veth(network, namespace.fd)
        gateway = IPv4Address(network.bridge.gateway)
        try:
            namespace.configure("eth0", address, network.subnet, gateway)
        except BaseException:
            network.addresses.append(address)
            raise
        return Attachment(
            mode=mode,
            netns_fd=namespace.release(),
            address=str(address),
            prefix_length=network.subnet.prefixlen,
            gateway=str(gateway),
            host_link=link,
        )

    def _add_veth(self, network: _Network, netns_fd: int) -> tuple[IPv4Address, str]:
        for _ in range(len(network.addresses)):
            address = self._next_address(network)
            try:
                return address, self._host_links().add_veth(network.bridge, address, netns_fd)
            except FileExistsError:  # its last user is still going: try the next
                network.addresses.append(address)
            except BaseException:
                network.addresses.append(address)
                raise
        raise NetworkError(
            f"all addresses of {network.bridge.subnet} are in use; stop containers and try again"
        )

    def _next_address(self, network: _Network) -> IPv4Address:
        if not network.addresses:
            raise NetworkError(
                f"all addresses of {network.bridge.subnet} are in use; stop containers and try again"
            )
        return network.addresses.popleft()

    def _network(self, mode: BridgedMode) -> _Network:
        if mode not in self._networks:
            bridge = self._host_links().add_bridge(self.owner)
            try:
                if mode == "nat":
                    self._translation.masquerade(bridge)
            except BaseException:
                self._host_links().delete(bridge.name)
                raise
            self._networks[mode] = _Network(bridge)
        return self._networks[mode]

    def _host_links(self) -> Links:
        if self._links is None:
            self._links = Links()
        return self._links

    # ---- the end ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free attachments, pool, bridges and table. Idempotent; what still runs loses its network."""
        for attachment in list(self._given.values()):
            self.detach(attachment)
        pools = [self._bare, *(network.ready for network in self._networks.values())]
        for pool in pools:
            while pool:
                self.detach(pool.popleft())
        with contextlib.ExitStack() as stack:
            if self._links is not None:
                stack.callback(self._forget_links)
            for network in self._networks.values():
                stack.callback(self._remove_bridge, network.bridge)
            stack.callback(self._translation.close)
        self._networks.clear()

    def _forget_links(self) -> None:
        if self._links is not None:
            self._links.close()
            self._links = None

    def _remove_bridge(self, bridge: Bridge) -> None:
        for name in links.wait_until_gone(bridge):
            self._host_links().delete(name)
        self._host_links().delete(bridge.name)


def uplink_warning() -> str | None:
    """Say why containers cannot reach beyond this host by its default route, None when nothing is in the way.

    Linux decides by the link a packet comes in on, so answers need forwarding on the uplink, a setting of the
    host's that we do not change.
    """
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[7] == "00000000":
            switch = Path(f"/proc/sys/net/ipv4/conf/{fields[0]}/forwarding")
            if switch.read_text().strip() == "0":
                return (
                    f"this host does not forward packets that come in on {fields[0]}, so containers get no "
                    f"answer from beyond it; to allow it: sysctl -w net.ipv4.conf.{fields[0]}.forwarding=1"
                )
    return None


def sweep() -> list[str]:
    """Remove links and tables that dead processes left; return their names."""
    host_links = Links()
    try:
        dead = [link for link in host_links.ours() if link.owner_is_alive is False]
        for link in sorted(dead, key=lambda link: link.is_bridge):
            host_links.delete(link.name)
    finally:
        host_links.close()
    try:
        tables = translation.sweep()
    except NetworkError:
        tables = []  # without libnftables there can be none
    return [*(link.name for link in dead), *tables]
