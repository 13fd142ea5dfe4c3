"""A network as clients request it, as its document stores it, and as clients see it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec

from runtime.docker_syntax import booleans
from runtime.engine.errors import EngineError
from runtime.engine.service.model.request import Body
from runtime.network.model import NetworkSpec
from runtime.spawn.durable import replace_file
from runtime.spawn.errnos import errno_text

log = logging.getLogger(__name__)

DRIVERS = ("bridge", "host", "null")
PREDEFINED = ("bridge", "host", "none")
_LINK = "nn-"
_BRIDGE = "com.docker.network.bridge."
BINDING = _BRIDGE + "host_binding_ipv4"
SWITCHES = (_BRIDGE + "enable_icc", _BRIDGE + "enable_ip_masquerade")
_MTU = "com.docker.network.driver.mtu"
_PREFIX = "com.docker.network.container_iface_prefix"


class IpamPool(Body, omit_defaults=True):
    """One subnet of a network. auxiliary_addresses: name → address that no container gets."""

    subnet: str = ""
    ip_range: str = msgspec.field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


class Ipam(Body):
    """IPAM of a network. Only the driver `default` is known."""

    driver: str = "default"
    options: dict[str, str] | None = None
    config: list[IpamPool] | None = None


class NetworkCreate(Body):
    """Body of `POST /networks/create`."""

    name: str = ""
    check_duplicate: bool = False
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = msgspec.field(default=True, name="EnableIPv4")
    enable_ipv6: bool | None = msgspec.field(default=False, name="EnableIPv6")
    ipam: Ipam | None = msgspec.field(default=None, name="IPAM")
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: dict[str, Any] | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkContainer(Body):
    """A running container on a network. Addresses with the length of the prefix."""

    name: str
    endpoint_id: str = msgspec.field(name="EndpointID")
    mac_address: str
    ipv4_address: str = msgspec.field(name="IPv4Address")
    ipv6_address: str = msgspec.field(name="IPv6Address")


class ConfigReference(Body):
    """The network whose configuration another one uses; there is none here."""

    network: str = ""


class NetworkView(Body, kw_only=True):
    """A network as `GET /networks/{id}` shows it; fields with a value here are always so."""

    name: str
    id: str
    created: str
    scope: str = "local"
    driver: str
    enable_ipv4: bool = msgspec.field(name="EnableIPv4", default=True)
    enable_ipv6: bool = msgspec.field(name="EnableIPv6")
    ipam: Ipam = msgspec.field(name="IPAM")
    internal: bool
    attachable: bool
    ingress: bool = False
    config_from: ConfigReference = ConfigReference()
    config_only: bool = False
    containers: dict[str, NetworkContainer]
    options: dict[str, str]
    labels: dict[str, str]


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A network.

    pools: with gateways filled in. configured: the user gave a subnet. idle: IPv6 subnets of a network
    without IPv6: as in docker, they are shown, and containers may ask for addresses there, but get none.
    """

    id: str
    name: str
    created: str
    driver: str = "bridge"
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = None
    pools: tuple[IpamPool, ...] = ()
    idle: tuple[IpamPool, ...] = ()
    configured: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    version: int = 1

    @property
    def predefined(self) -> bool:
        """Whether it is one of the three that are always there."""
        return self.name in PREDEFINED

    @property
    def user_defined(self) -> bool:
        """Whether containers on it resolve each other's names."""
        return self.driver == "bridge" and not self.predefined

    @property
    def link(self) -> str:
        """The bridge's name on the host."""
        return self.options.get(_BRIDGE + "name") or _LINK + self.id[:12]

    @property
    def interface_prefix(self) -> str:
        """The prefix of containers' interface names on it."""
        return self.options.get(_PREFIX) or "eth"

    @property
    def host_binding(self) -> str:
        """The address of published ports without one; "" and 0.0.0.0 are all addresses."""
        return self.options.get(BINDING, "").replace("0.0.0.0", "")

    def spec(self) -> NetworkSpec:
        """Return the request to the spawner."""
        four = next((pool for pool in self.pools if ":" not in pool.subnet), IpamPool())
        six = next((pool for pool in self.pools if ":" in pool.subnet), IpamPool())
        return NetworkSpec(
            id=self.id,
            link=self.link,
            subnet=four.subnet,
            gateway=four.gateway,
            subnet6=six.subnet,
            gateway6=six.gateway,
            internal=self.internal,
            masquerade=self._is_on("enable_ip_masquerade"),
            icc=self._is_on("enable_icc"),
            mtu=int(self.options.get(_MTU) or 0),
            prefix=self.interface_prefix,
            names=self.user_defined,
        )

    def _is_on(self, option: str) -> bool:
        return booleans.parse(self.options.get(_BRIDGE + option, "true"))

    def view(self, containers: dict[str, NetworkContainer] | None = None) -> NetworkView:
        """Return what clients are shown."""
        config = [*self.pools, *self.idle]
        return NetworkView(
            name=self.name,
            id=self.id,
            created=self.created,
            driver=self.driver,
            enable_ipv6=self.ipv6,
            ipam=Ipam(driver=self.ipam_driver, options=self.ipam_options, config=config),
            internal=self.internal,
            attachable=self.attachable,
            containers=containers or {},
            options=self.options | ({_BRIDGE + "name": self.link} if self.name == "bridge" else {}),
            labels=self.labels,
        )


class NetworkStore:
    """`networks/<id>.json`. Blocking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> list[NetworkRecord]:
        """Return all networks, oldest first; unreadable ones are left alone."""
        found = []
        for path in self.root.glob("*.new"):  # a write that was cut off
            path.unlink()
        for path in self.root.glob("*.json"):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=NetworkRecord))
            except (OSError, msgspec.MsgspecError) as error:
                log.error(
                    "a network is left out, since %s cannot be read: %s; repair or remove it", path, error
                )
        return sorted(found, key=lambda record: (record.created, record.id))

    def save(self, record: NetworkRecord) -> None:
        """Save a network, synced. Raises EngineError."""
        try:
            replace_file(self.root / f"{record.id}.json", msgspec.json.encode(record))
        except OSError as error:
            raise EngineError(
                f"keep network {record.name}: {errno_text(error)}; free space below {self.root}"
            ) from error

    def remove(self, container_id: str) -> None:
        """Forget a network. Idempotent."""
        (self.root / f"{container_id}.json").unlink(missing_ok=True)
