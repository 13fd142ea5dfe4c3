"""The daemon's defaults for containers and networks; their own defaults are Docker's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_interface, ip_network
from typing import Any

import msgspec

from runtime.docker_syntax import log_options, ulimits
from runtime.engine.errors import BadParameterError, refusing
from runtime.engine.service.model.request import HostConfig, LogConfig, Ulimit
from runtime.network.ipam import SubnetPool
from runtime.network.resolvconf import is_address

_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?", re.IGNORECASE)
_RESERVED = ("com.docker.", "io.docker.", "org.dockerproject.")


class AddressPool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that subnets with a prefix of `size` bits are chosen from."""

    base: str
    size: int

    def split(self) -> SubnetPool:
        """Return the pool as runtime.network takes it."""
        return SubnetPool(ip_network(self.base, strict=False), self.size)


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """All of them, named as the keys of dockerd's `daemon.json`. dns, …: for containers that name none.

    bip: the address of the network `bridge` with its subnet, `172.30.0.1/16`; fixed_cidr: what containers on
    it get; mtu, icc, ip_masq, ip (for published ports), ipv6: of that network. default_network_opts: by
    driver. default_shm_size: bytes. shutdown_timeout: seconds that containers may take to stop when the
    daemon does, at least; negative: as they like.
    """

    bip: str = ""
    fixed_cidr: str = ""
    ipv6: bool = False
    fixed_cidr_v6: str = ""
    mtu: int = 1500
    icc: bool = True
    ip_masq: bool = True
    ip: str = "0.0.0.0"
    default_address_pools: tuple[AddressPool, ...] = ()
    default_network_opts: dict[str, dict[str, str]] = {}
    host_gateway_ip: str = ""
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    default_ipc_mode: str = "private"
    default_cgroupns_mode: str = "private"
    default_shm_size: int = 64 << 20
    default_ulimits: dict[str, Ulimit] = {}
    cgroup_parent: str = ""
    init: bool = False
    no_new_privileges: bool = False
    log_driver: str = "json-file"
    log_opts: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    shutdown_timeout: int = 15

    def splits(self) -> tuple[SubnetPool, ...]:
        """Return the pools of subnets, of both families; none: docker's own list."""
        return tuple(pool.split() for pool in self.default_address_pools)

    def log_of(self, asked: LogConfig) -> LogConfig:
        """Return a container's log: default options are those of the default driver alone."""
        driver, given = asked.type or self.log_driver, asked.config or {}
        ours = self.log_opts if driver == self.log_driver else {}
        return LogConfig(type=driver, config={**ours, **given})

    def at_start(self, host: HostConfig) -> HostConfig:
        """Return the HostConfig of a start; as in docker, the record keeps the requested one."""
        changes: dict[str, Any] = {}
        for field, default in (
            ("dns", self.dns),
            ("dns_search", self.dns_search),
            ("dns_options", self.dns_opts),
        ):
            if default and not getattr(host, field):
                changes[field] = list(default)
        if self.default_ulimits:
            changes["ulimits"] = self.with_ulimits(host).ulimits
        if host.init is None and self.init:
            changes["init"] = True
        if not host.cgroup_parent and self.cgroup_parent:
            changes["cgroup_parent"] = self.cgroup_parent
        if self.no_new_privileges:  # first, so that the container's own option counts
            changes["security_opt"] = ["no-new-privileges", *(host.security_opt or ())]
        return msgspec.structs.replace(host, **changes) if changes else host

    def with_ulimits(self, host: HostConfig) -> HostConfig:
        """Add the limits that a container does not set itself; inspect shows them, too."""
        own = {limit.name for limit in host.ulimits or ()}
        ours = [limit for name, limit in self.default_ulimits.items() if name not in own]
        return msgspec.structs.replace(host, ulimits=[*(host.ulimits or ()), *ours]) if ours else host


DEFAULTS = Settings()


def check_settings(settings: Settings) -> None:
    """Refuse invalid settings, in docker's words where it has some. Raises BadParameterError."""
    _check_modes(settings)
    _check_bridge(settings)
    for pool in settings.default_address_pools:
        _check_pool(pool)
    for address in settings.dns:
        _check_address(address, "dns")
    if settings.host_gateway_ip:
        _check_address(settings.host_gateway_ip, "host-gateway-ip")
    for domain in settings.dns_search:
        if domain != "." and not (_DOMAIN.fullmatch(domain) and re.search("[a-z]", domain, re.IGNORECASE)):
            raise BadParameterError(f"{domain} is not a valid domain")
    for name, limit in settings.default_ulimits.items():
        if limit.name != name:
            raise BadParameterError(f"invalid ulimit type: {limit.name}")
        with refusing():
            ulimits.check(name, limit.soft, limit.hard)
    if settings.default_shm_size <= 0:
        raise BadParameterError("SHM size can not be less than 0")
    with refusing():
        log_options.parse(settings.log_driver, settings.log_opts)


def _check_modes(settings: Settings) -> None:
    ipc, cgroupns = settings.default_ipc_mode, settings.default_cgroupns_mode
    if ipc not in ("private", "shareable"):
        raise BadParameterError(
            f'IPC mode "{ipc}" is not supported as default value; use "shareable" or "private"'
        )
    if cgroupns not in ("private", "host"):
        raise BadParameterError(
            f'default cgroup namespace mode ({cgroupns}) is invalid; use "host" or "private"'
        )


def _check_bridge(settings: Settings) -> None:
    if settings.mtu < 0:
        raise BadParameterError(f"invalid default MTU: {settings.mtu}")
    _check_address(settings.ip, "ip")
    for text, version in ((settings.bip, 4), (settings.fixed_cidr, 4), (settings.fixed_cidr_v6, 6)):
        if text:
            _check_subnet(text, version)
    if settings.ipv6 and not settings.fixed_cidr_v6:
        raise BadParameterError(
            "IPv6 is enabled for the default bridge, but no subnet is configured. Specify an IPv6 subnet "
            "using --fixed-cidr-v6"
        )


def _check_subnet(text: str, version: int) -> None:
    try:
        found = ip_interface(text)
    except ValueError:
        found = None
    if found is None or "/" not in text:
        raise BadParameterError(f"invalid CIDR address: {text}")
    if found.version != version:
        raise BadParameterError(f"invalid CIDR address: {text}: it is not an IPv{version} subnet")


def _check_address(text: str, what: str) -> None:
    if not is_address(text) or "%" in text:
        raise BadParameterError(f"invalid --{what}: failed to parse IP: {text}")


def _check_pool(pool: AddressPool) -> None:
    try:
        whole = ip_network(pool.base, strict=False)
    except ValueError:
        whole = None
    if whole is None or "/" not in pool.base:
        raise BadParameterError(f'invalid base pool "{pool.base}": invalid CIDR address: {pool.base}')
    # A network needs an address for its bridge and one for a container.
    if not max(whole.prefixlen, 1) <= pool.size <= whole.max_prefixlen - 2:
        raise BadParameterError(f"invalid pools size: {pool.size}")


def without_conflicts(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the daemon's labels, each once. Raises BadParameterError for one with two values."""
    found: dict[str, str] = {}
    for label in labels:
        key, sign, value = label.partition("=")
        if not sign:
            raise BadParameterError(f"bad attribute format: {label}")
        if label.lower().startswith(_RESERVED):
            raise BadParameterError(
                f"label {label} is not allowed: the namespaces com.docker.*, io.docker.*, and "
                "org.dockerproject.* are reserved for internal use"
            )
        if found.setdefault(key, value) != value:
            raise BadParameterError(f"conflict labels for {label} and {key}={found[key]}")
    return tuple(f"{key}={value}" for key, value in found.items())
