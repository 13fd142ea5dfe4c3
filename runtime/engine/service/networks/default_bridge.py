"""The record of the network `bridge`, by the daemon's settings, at its first start and when they change."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from ipaddress import ip_interface, ip_network

import msgspec

from runtime.engine.errors import EngineError
from runtime.engine.service.model.record import now
from runtime.engine.service.networks.create import complete_pools, engine_errors
from runtime.engine.service.rules.network_record import IpamPool, NetworkRecord
from runtime.engine.service.rules.settings import Settings
from runtime.network.ipam import Address, AddressAllocator, IpamError, Network, check_foreign
from runtime.network.kernel.host_routes import read_addresses, read_routes

log = logging.getLogger(__name__)

_BRIDGE = "com.docker.network.bridge."


def bridge_record(
    old: NetworkRecord | None, settings: Settings, others: Sequence[NetworkRecord], *, in_use: bool
) -> NetworkRecord:
    """Return the record of the network `bridge`: the old one itself, where nothing changes.

    A chosen subnet stays unless it is in none of the pools any more. in_use: containers of an earlier daemon
    run on it, so it is not changed until the next start. Raises EngineError.
    """
    if old is None:
        new = NetworkRecord(id=secrets.token_hex(32), name="bridge", created=now())
        return _made(new, settings, others, read_addresses())
    own = {pool.gateway for pool in old.pools}  # its bridge may still be there
    found = _made(old, settings, others, (address for address in read_addresses() if str(address) not in own))
    if found is not old and in_use:
        log.warning("network bridge stays as it is while containers run that were started on it")
        return old
    return found


def _fits(pools: Sequence[IpamPool], wanted: IpamPool) -> bool:
    """Say whether a configured subnet is there as configured."""
    return any(
        (pool.subnet, pool.ip_range) == (wanted.subnet, wanted.ip_range)
        and wanted.gateway in ("", pool.gateway)
        for pool in pools
    )


def _chosen(old: NetworkRecord, settings: Settings) -> list[IpamPool]:
    """Return the chosen subnet, if it may stay."""
    bases = [pool.whole for pool in settings.splits() if pool.whole.version == 4]
    found = [pool for pool in old.pools if ":" not in pool.subnet and not old.configured]
    return [one for one in found if not bases or any(_inside(one.subnet, base) for base in bases)]


def _inside(subnet: str, base: Network) -> bool:
    return ip_network(subnet).network_address in base


def _made(
    record: NetworkRecord,
    settings: Settings,
    others: Sequence[NetworkRecord],
    addresses: Iterable[Address],
) -> NetworkRecord:
    asked = _asked(settings)
    configured = any(":" not in pool.subnet for pool in asked)
    kept = [] if configured else _chosen(record, settings)
    same = (record.options, record.ipv6, record.configured) == (_options(settings), settings.ipv6, configured)
    if same and (configured or kept) and all(_fits(record.pools, pool) for pool in asked):
        return record
    try:
        with engine_errors():
            known = list(addresses)
            for pool in asked:
                _check_gateway(pool)
                check_foreign(AddressAllocator(pool.subnet).subnet, known)
            pools = complete_pools(
                [*kept, *asked], others, read_routes(), ipv6=settings.ipv6, seed="", choices=settings.splits()
            )
    except EngineError as error:
        raise EngineError(f'error creating default "bridge" network: {error}') from error
    return msgspec.structs.replace(
        record, pools=pools, ipv6=settings.ipv6, configured=configured, options=_options(settings)
    )


def _check_gateway(pool: IpamPool) -> None:
    """Refuse the first and the last address of a subnet as the bridge's own."""
    subnet = ip_network(pool.subnet)
    if pool.gateway in (str(subnet.network_address), str(subnet.broadcast_address)) and subnet.prefixlen < 31:
        raise IpamError(
            f"failed to allocate gateway ({pool.gateway}): it is not the address of a host in {subnet}"
        )


def _asked(settings: Settings) -> list[IpamPool]:
    """Return the configured subnets, at most one of each family."""
    found = []
    if settings.bip or settings.fixed_cidr:
        address = settings.bip and str(ip_interface(settings.bip).ip)
        subnet, part = _subnet(settings.bip or settings.fixed_cidr), _subnet(settings.fixed_cidr)
        found.append(IpamPool(subnet=subnet, ip_range=part, gateway=address))
    if settings.ipv6:
        found.append(IpamPool(subnet=_subnet(settings.fixed_cidr_v6)))
    return found


def _subnet(text: str) -> str:
    return str(ip_network(text, strict=False)) if text else ""


def _options(settings: Settings) -> dict[str, str]:
    return {
        _BRIDGE + "default_bridge": "true",
        _BRIDGE + "enable_icc": str(settings.icc).lower(),
        _BRIDGE + "enable_ip_masquerade": str(settings.ip_masq).lower(),
        _BRIDGE + "host_binding_ipv4": settings.ip,
        "com.docker.network.driver.mtu": str(settings.mtu),
    }
