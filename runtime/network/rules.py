"""What named networks need of nftables: one table of ours, and elements of its sets.

A network or a port adds no rule, so a packet meets the same few rules however many there are. A bridge's
ports reach each other below all this; only what is routed comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime.network.errors import NetworkError
from runtime.network.model import NetworkSpec
from runtime.network.nft import Nft
from runtime.spawn.owner import Owner

# Containers of two bridges are kept apart, and only published ports lead inside, as docker has it. What our
# bridges send to 127.0.0.0/8 is dropped: route_localnet there, which lets the host reach a published port by
# 127.0.0.1, would else let containers reach the host's own loopback services. Nor do packets for 127.0.0.1
# from elsewhere reach a port that is published there only. What comes in by a link on which we switched
# forwarding on goes to our bridges or nowhere: the host has not become a router.
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


class Rules:
    """The table of one owner, made at first need. All methods raise NetworkError."""

    def __init__(self, owner: Owner) -> None:
        self.table = f"nn_{owner}".replace("-", "_")
        self._nft: Nft | None = None

    def add_network(self, spec: NetworkSpec, opened: Iterable[tuple[int, str]] = ()) -> None:
        """Let a network's bridge be known. opened: (4 or 6, link of the host that was made to forward)."""
        elements = _elements(spec) + [(f"opened{family}", f'"{link}"') for family, link in sorted(opened)]
        self._change("add", elements)

    def drop_network(self, spec: NetworkSpec) -> None:
        """Forget a network's bridge."""
        self._change("delete", _elements(spec))

    def let_through(self) -> None:
        """Let IPv4 packets pass on links that were made to forward: the host has become a router since."""
        self._ready().run(f"flush set inet {self.table} opened4")

    def add_ports(self, elements: Sequence[tuple[str, str, str]]) -> None:
        """Lead ports inside. An element: (map, host's side, container's side), as `element_of` makes it."""
        self._change("add", [(name, f"{key} : {value}") for name, key, value in elements])

    def drop_ports(self, elements: Sequence[tuple[str, str, str]]) -> None:
        """Take published ports back."""
        self._change("delete", [(name, key) for name, key, _ in elements])

    def close(self) -> None:
        """Remove the table. Idempotent."""
        if self._nft is not None:
            nft, self._nft = self._nft, None
            try:
                nft.run(f"delete table inet {self.table}")
            finally:
                nft.close()

    def _change(self, verb: str, elements: Sequence[tuple[str, str]]) -> None:
        if elements:
            self._ready().run(
                "\n".join(f"{verb} element inet {self.table} {name} {{ {one} }}" for name, one in elements)
            )

    def _ready(self) -> Nft:
        if self._nft is None:
            nft = Nft()
            nft.run(_TABLE.format(table=self.table))
            self._nft = nft
        return self._nft


def element_of(
    protocol: str, family: int, host_ip: str, port: int, address: str, inner: int
) -> tuple[str, str, str]:
    """Return the element that leads `port` of the host to a container. host_ip: "" for all addresses."""
    kind = "one" if host_ip else "any"
    return (
        f"{protocol}{family}_{kind}",
        f"{host_ip} . {port}" if host_ip else str(port),
        f"{address} . {inner}",
    )


def _elements(spec: NetworkSpec) -> list[tuple[str, str]]:
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


def sweep() -> list[str]:
    """Remove the tables of dead owners; return their names."""
    nft = Nft()
    try:
        rows = nft.query("list tables inet")
        names = [item["table"]["name"] for item in rows if "table" in item]
        dead = []
        for name in names:
            owner = Owner.parse(name) if name.startswith("nn_") else None
            if owner is not None and not owner.is_alive():
                nft.run(f"delete table inet {name}")
                dead.append(name)
        return dead
    except NetworkError:
        return []
    finally:
        nft.close()
