"""NAT and published ports: one nftables table of ours, `nn_<owner>`, and the text that fills it."""

from __future__ import annotations

import socket
from pathlib import Path

from runtime.network.errors import NetworkError, wrap
from runtime.network.model import Bridge, Port
from runtime.network.nft import Nft
from runtime.spawn.owner import Owner

# 127.0.0.0/8 from our bridges is dropped by `guard`: route_localnet there, which lets the host reach a
# published port by 127.0.0.1, would otherwise let containers reach the host's own loopback services.
_TABLE = """
table ip {table} {{
  map tcp_any {{ type inet_service : ipv4_addr . inet_service; }}
  map udp_any {{ type inet_service : ipv4_addr . inet_service; }}
  map tcp_one {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
  map udp_one {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
  chain published {{
    dnat ip to ip daddr . tcp dport map @tcp_one
    dnat ip to ip daddr . udp dport map @udp_one
    fib daddr type local dnat ip to tcp dport map @tcp_any
    fib daddr type local dnat ip to udp dport map @udp_any
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump published
  }}
  chain output {{
    type nat hook output priority dstnat; policy accept;
    jump published
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
  }}
}}
"""


class Translation:
    """The table of one owner, made at first need."""

    def __init__(self, owner: Owner) -> None:
        self._table = f"nn_{owner}".replace("-", "_")
        self._nft: Nft | None = None
        self._bridges: set[str] = set()
        self._held: dict[Port, socket.socket] = {}

    def _ready(self) -> Nft:
        if self._nft is None:
            nft = Nft()
            nft.run(_TABLE.format(table=self._table))
            self._nft = nft
        return self._nft

    def masquerade(self, bridge: Bridge) -> None:
        """Let what leaves `bridge` for elsewhere carry the host's address."""
        self._serve(bridge)
        rule = f'ip saddr {bridge.subnet} oifname != "{bridge.name}" masquerade'
        self._ready().run(f"add rule ip {self._table} postrouting {rule}")

    def _serve(self, bridge: Bridge) -> None:
        if bridge.name in self._bridges:
            return
        into = f"add rule ip {self._table}"
        self._ready().run(
            f'{into} guard iifname "{bridge.name}" ip daddr 127.0.0.0/8 drop\n'
            # for the host by 127.0.0.1, and a container by the host's address: answers come the same way back
            f'{into} postrouting oifname "{bridge.name}" ip saddr 127.0.0.0/8 masquerade\n'
            f'{into} postrouting oifname "{bridge.name}" ip saddr {bridge.subnet} ct status dnat masquerade\n'
        )
        Path(f"/proc/sys/net/ipv4/conf/{bridge.name}/route_localnet").write_text("1")
        self._bridges.add(bridge.name)

    def publish(self, ports: tuple[Port, ...], bridge: Bridge, address: str) -> None:
        """Lead `ports` of the host to `address`; all of them or none. NetworkError when one is taken."""
        if not ports:
            return
        self._serve(bridge)
        held: dict[Port, socket.socket] = {}
        try:
            for port in ports:
                held[port] = _hold(port)
            lines = (f"add element {self._element(port)} : {address} . {port.container} }}" for port in ports)
            self._ready().run("\n".join(lines))
        except BaseException:
            for holder in held.values():
                holder.close()
            raise
        self._held |= held

    def withdraw(self, ports: tuple[Port, ...]) -> None:
        """Take published ports back."""
        if not ports:
            return
        self._ready().run("\n".join(f"delete element {self._element(port)} }}" for port in ports))
        for port in ports:
            self._held.pop(port).close()

    def _element(self, port: Port) -> str:
        if port.host_ip is None:
            return f"ip {self._table} {port.protocol}_any {{ {port.host}"
        return f"ip {self._table} {port.protocol}_one {{ {port.host_ip} . {port.host}"

    def close(self) -> None:
        """Remove the table. Idempotent."""
        if self._nft is not None:
            self._nft.run(f"delete table ip {self._table}")
            self._nft.close()
            self._nft = None
        while self._held:
            self._held.popitem()[1].close()


def _hold(port: Port) -> socket.socket:
    """Bind the host's port: nobody else, another `nn` included, can then publish or listen on it."""
    if not (0 < port.host < 65536 and 0 < port.container < 65536):
        raise NetworkError(f"port {port.host}:{port.container} is out of range; ports go from 1 to 65535")
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    holder = socket.socket(socket.AF_INET, kind)
    try:
        holder.bind((port.host_ip or "0.0.0.0", port.host))
    except OSError as error:
        holder.close()
        raise wrap(f"publish port {port.host}/{port.protocol}", error.errno) from error
    return holder


def sweep() -> list[str]:
    """Remove the tables of dead owners; return their names."""
    nft = Nft()
    try:
        names = [item["table"]["name"] for item in nft.query("list tables ip") if "table" in item]
        dead = []
        for name in names:
            owner = Owner.parse(name) if name.startswith("nn_") else None
            if owner is not None and not owner.is_alive():
                nft.run(f"delete table ip {name}")
                dead.append(name)
        return dead
    finally:
        nft.close()
