"""The nftables table of bridge networks: NAT of published ports, masquerading, and isolation of networks.

A network or port adds elements to the table's sets and maps, never a rule, so a packet passes the same few
rules however many there are. Containers of one bridge reach each other without it: it sees routed packets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from runtime.network.errors import NetworkError
from runtime.network.kernel.nft import Nft
from runtime.network.model import NetworkSpec
from runtime.spawn.owner import Owner

Key = tuple[str, str]
"""An element's set or map, and its key there."""

# As in docker, bridges are isolated from each other, and only published ports lead inside. Packets from our
# bridges to 127.0.0.0/8 are dropped: route_localnet, which lets the host reach a published port at 127.0.0.1,
# would otherwise let containers reach loopback services of the host. Packets from elsewhere do not reach a
# port that is published on 127.0.0.1 only. Packets that arrive on an uplink where we enabled forwarding may
# reach our bridges only: the host has not become a router.
_TABLE = """
table inet {table} {{
  set bridges {{ type ifname; }}
  set same {{ type ifname . ifname; }}
  set closed {{ type ifname; }}
  set opened4 {{ type ifname; }}
  set opened6 {{ type ifname; }}
  set own4 {{ type ifname . ipv4_addr; flags interval; }}
  set own6 {{ type ifname . ipv6_addr; flags interval; }}
  set masked4 {{ type ipv4_addr; flags interval; }}
  set masked6 {{ type ipv6_addr; flags interval; }}
  map tcp4_any {{ type inet_service : ipv4_addr . inet_service; }}
  map udp4_any {{ type inet_service : ipv4_addr . inet_service; }}
  map tcp6_any {{ type inet_service : ipv6_addr . inet_service; }}
  map udp6_any {{ type inet_service : ipv6_addr . inet_service; }}
  map tcp4_one {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
  map udp4_one {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
  map tcp6_one {{ type ipv6_addr . inet_service : ipv6_addr . inet_service; }}
  map udp6_one {{ type ipv6_addr . inet_service : ipv6_addr . inet_service; }}
  chain published {{
    dnat ip to ip daddr . tcp dport map @tcp4_one
    dnat ip to ip daddr . udp dport map @udp4_one
    dnat ip6 to ip6 daddr . tcp dport map @tcp6_one
    dnat ip6 to ip6 daddr . udp dport map @udp6_one
    meta nfproto ipv4 fib daddr type local dnat ip to tcp dport map @tcp4_any
    meta nfproto ipv4 fib daddr type local dnat ip to udp dport map @udp4_any
    meta nfproto ipv6 fib daddr type local dnat ip6 to tcp dport map @tcp6_any
    meta nfproto ipv6 fib daddr type local dnat ip6 to udp dport map @udp6_any
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr 127.0.0.0/8 return
    jump published
  }}
  chain output {{
    type nat hook output priority dstnat; policy accept;
    ip6 daddr ::1 return
    jump published
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    oifname . ip saddr @own4 ct status dnat masquerade
    oifname . ip6 saddr @own6 ct status dnat masquerade
    ip saddr @masked4 oifname != @bridges masquerade
    ip6 saddr @masked6 oifname != @bridges masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ct status dnat accept
    iifname . oifname @same accept
    oifname @bridges drop
    iifname @closed drop
    meta nfproto ipv4 iifname @opened4 oifname != @bridges drop
    meta nfproto ipv6 iifname @opened6 oifname != @bridges drop
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }}
}}
"""


class Firewall:
    """The table of one owner, created when first needed. All methods raise NetworkError.

    Its elements are remembered, so that it can be created again after somebody flushed the host's ruleset.
    """

    def __init__(self, owner: Owner) -> None:
        self.table = f"nn_{owner}".replace("-", "_")
        self._nft: Nft | None = None
        self._known: dict[Key, str] = {}

    def add_network(self, spec: NetworkSpec) -> None:
        """Add a network's bridge."""
        self._add(dict.fromkeys(_elements(spec), ""))

    def drop_network(self, spec: NetworkSpec) -> None:
        """Remove a network's bridge."""
        self._delete(_elements(spec))

    def guard_uplinks(self, opened: Iterable[tuple[int, str]]) -> None:
        """Drop packets that arrive on these (4 or 6, uplink) for anything but our bridges."""
        self._add({(f"opened{family}", f'"{link}"'): "" for family, link in sorted(opened)})

    def unguard_uplinks(self) -> None:
        """Let IPv4 packets pass the uplinks again: the host has become a router."""
        self._delete([key for key in self._known if key[0] == "opened4"])

    def add_ports(self, elements: Mapping[Key, str]) -> None:
        """Lead host ports to containers. elements: from `element_of`."""
        self._add(elements)

    def drop_ports(self, elements: Iterable[Key]) -> None:
        """Remove published ports."""
        self._delete(elements)

    def restore(self) -> bool:
        """Create the table again if it is gone; say whether it was."""
        gone = self._nft is not None and not self._is_there(self._nft)
        if gone:
            self._make(self._known)
        return gone

    def close(self) -> None:
        """Remove the table. Idempotent."""
        if self._nft is not None:
            nft, self._nft, self._known = self._nft, None, {}
            try:
                nft.run(f"delete table inet {self.table}")
            except NetworkError:
                if self._is_there(nft):
                    raise
            finally:
                nft.close()

    def _add(self, elements: Mapping[Key, str]) -> None:
        new = {key: value for key, value in elements.items() if self._known.get(key) != value}
        self._change(_adding(self.table, new), self._known | new)

    def _delete(self, keys: Iterable[Key]) -> None:
        gone = [key for key in keys if key in self._known]
        left = {key: value for key, value in self._known.items() if key not in gone}
        self._change([f"delete element inet {self.table} {name} {{ {key} }}" for name, key in gone], left)

    def _change(self, commands: list[str], after: dict[Key, str]) -> None:
        """Run commands after which the table holds `after`; create all of that if the table is gone."""
        if not commands:
            return
        if self._nft is None:
            self._make(after)
        else:
            try:
                self._nft.run("\n".join(commands))
            except NetworkError:
                if self._is_there(self._nft):
                    raise
                self._make(after)
        self._known = after

    def _make(self, elements: Mapping[Key, str]) -> None:
        nft = self._nft or Nft()
        try:
            nft.run(_TABLE.format(table=self.table) + "\n".join(_adding(self.table, elements)))
        except BaseException:
            if self._nft is None:
                nft.close()
            raise
        self._nft = nft

    def _is_there(self, nft: Nft) -> bool:
        return self.table in tables(nft)


def _adding(table: str, elements: Mapping[Key, str]) -> list[str]:
    return [
        f"add element inet {table} {name} {{ {key}{f' : {value}' if value else ''} }}"
        for (name, key), value in elements.items()
    ]


def element_of(
    protocol: str, family: int, host_ip: str, port: int, address: str, inner: int
) -> tuple[Key, str]:
    """Return the map element that leads a host port to a container. host_ip: "" for all addresses."""
    kind = "one" if host_ip else "any"
    key = f"{host_ip} . {port}" if host_ip else str(port)
    return (f"{protocol}{family}_{kind}", key), f"{address} . {inner}"


def _elements(spec: NetworkSpec) -> list[Key]:
    link = f'"{spec.link}"'
    found = [("bridges", link)]
    if spec.icc:
        found.append(("same", f"{link} . {link}"))
    if spec.internal:
        found.append(("closed", link))
    for family, subnet in ((4, spec.subnet), (6, spec.subnet6)):
        if subnet:
            found.append((f"own{family}", f"{link} . {subnet}"))
            if spec.masquerade and not spec.internal:
                found.append((f"masked{family}", subnet))
    return found


def tables(nft: Nft) -> list[str]:
    """Return the names of all tables of the family inet."""
    return [item["table"]["name"] for item in nft.query("list tables inet") if "table" in item]


def sweep() -> list[str]:
    """Remove the tables of dead owners; return their names."""
    dead = []
    try:
        nft = Nft()
    except NetworkError:  # without libnftables there cannot be any
        return []
    try:
        for name in tables(nft):
            owner = Owner.parse(name) if name.startswith("nn_") else None
            if owner is not None and not owner.is_alive():
                with contextlib.suppress(NetworkError):  # another process was faster
                    nft.run(f"delete table inet {name}")
                    dead.append(name)
    except NetworkError:
        pass
    finally:
        nft.close()
    return dead
