"""Make a network's record from a request: names, drivers, subnets, options, with docker's messages."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from runtime.docker_syntax import MalformedError, booleans
from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    ForbiddenError,
    NotFoundError,
)
from runtime.engine.service.model.record import now
from runtime.engine.service.rules.network_record import (
    BINDING,
    DRIVERS,
    PREDEFINED,
    SWITCHES,
    Ipam,
    IpamPool,
    NetworkCreate,
    NetworkRecord,
)
from runtime.engine.service.rules.settings import DEFAULTS, Settings
from runtime.network.errors import NetworkError
from runtime.network.ipam import (
    Address,
    AddressAllocator,
    IpamError,
    Network,
    PoolOverlapError,
    SubnetPool,
    check_foreign,
    check_overlap,
    choose_subnet,
    choose_subnet6,
    parse_subnet,
)
from runtime.network.resolvconf import is_address

_LINK_LENGTH = 15
_PREFIX = re.compile(r"[^/:%\s]{1,12}")  # a number comes behind it
_LEAST_MTU, _MOST_MTU = 68, 65535


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Convert errors of runtime.network to the engine's."""
    try:
        yield
    except IpamError as error:
        raise BadParameterError(str(error)) from error
    except PoolOverlapError as error:
        raise ForbiddenError(str(error)) from error
    except NetworkError as error:
        raise EngineError(str(error)) from error


def make_record(
    request: NetworkCreate,
    others: Sequence[NetworkRecord],
    routes: Iterable[Network],
    addresses: Iterable[Address] = (),
    settings: Settings = DEFAULTS,
) -> NetworkRecord:
    """Return the record of a new network besides `others`.

    routes: the host's, to choose a subnet by. addresses: the host's own, which no subnet may contain.
    settings: the daemon's, with pools to choose subnets from and default options of drivers.

    Raises BadParameterError, ForbiddenError, NotFoundError for an unknown driver, or EngineError.
    """
    driver = _check(request)
    if any(other.name == request.name for other in others):
        raise ConflictError(f"network with name {request.name} already exists")
    ipam = request.ipam or Ipam()
    options = {**settings.default_network_opts.get(driver, {}), **(request.options or {})}
    network_id = secrets.token_hex(32)
    _check_options(options, others)
    if request.enable_ipv4 is False:
        raise BadParameterError("networks without IPv4 are not supported: leave out EnableIPv4")
    ipv6 = bool(request.enable_ipv6)
    pools: tuple[IpamPool, ...] = ()
    if driver == "bridge":
        with engine_errors():
            pools = complete_pools(
                ipam.config or [], others, list(routes), ipv6=ipv6, seed=network_id, choices=settings.splits()
            )
            for pool in pools:
                check_foreign(parse_subnet(pool.subnet), addresses)
    return NetworkRecord(
        id=network_id,
        name=request.name,
        created=now(),
        driver=driver,
        ipv6=ipv6,
        internal=request.internal,
        attachable=request.attachable,
        ipam_driver=ipam.driver or "default",
        ipam_options=ipam.options,
        pools=pools,
        idle=tuple(pool for pool in ipam.config or [] if ":" in pool.subnet and not ipv6),
        configured=any(pool.subnet for pool in ipam.config or []),
        options=options,
        labels=dict(request.labels or {}),
    )


def without_bridge(name: str) -> NetworkRecord:
    """Return the record of `host` or of `none`, which are always there."""
    driver = {"none": "null"}.get(name, name)
    return NetworkRecord(id=secrets.token_hex(32), name=name, created=now(), driver=driver)


def renumbered(
    record: NetworkRecord,
    others: Sequence[NetworkRecord],
    routes: Iterable[Network],
    settings: Settings = DEFAULTS,
) -> NetworkRecord:
    """Return a record with other subnets, chosen as at first. Raises EngineError."""
    asked = [pool for pool in record.pools if ":" in pool.subnet] if record.predefined else []
    with engine_errors():
        pools = complete_pools(
            asked, others, list(routes), ipv6=record.ipv6, seed=record.id, choices=settings.splits()
        )
    return msgspec.structs.replace(record, pools=pools)


def _check(request: NetworkCreate) -> str:
    """Refuse an invalid name or driver; return the driver."""
    name, driver = request.name, request.driver or "bridge"
    if not name.strip():
        raise BadParameterError("invalid network name: name is empty")
    if name != name.strip():
        raise BadParameterError(f"invalid network name: {name!r} has spaces around it")
    if name in (*PREDEFINED, "default") or name.startswith("container:"):
        raise ForbiddenError(f"operation is not permitted on predefined {name} network ")
    if driver in ("host", "null"):
        raise ForbiddenError(f'only one instance of "{driver}" network is allowed')
    if driver not in DRIVERS:
        raise NotFoundError(
            f'could not find plugin {driver} in v1 plugin registry: plugin "{driver}" not found'
        )
    if request.scope not in ("", "local") or request.ingress or request.config_only or request.config_from:
        raise BadParameterError("only networks of scope local are known: leave out swarm's options")
    if request.ipam and request.ipam.driver not in ("", "default"):
        raise NotFoundError(f"error looking up IPAM plugin {request.ipam.driver}: plugin not found")
    return driver


def _check_options(options: dict[str, str], others: Sequence[NetworkRecord]) -> None:
    mtu = options.get("com.docker.network.driver.mtu") or "0"
    if not mtu.isdecimal() or (int(mtu) and not _LEAST_MTU <= int(mtu) <= _MOST_MTU):
        raise BadParameterError(f"invalid network MTU: {mtu}")
    link = options.get("com.docker.network.bridge.name", "")
    if len(link) > _LINK_LENGTH or "/" in link or any(char.isspace() for char in link):
        raise BadParameterError(f"invalid bridge name {link!r}: at most {_LINK_LENGTH} characters, no spaces")
    for name, value in options.items():
        if name in SWITCHES:
            try:
                booleans.parse(value)
            except MalformedError as error:
                raise BadParameterError(f"failed to parse {name} value: {value} ({error})") from error
        if name == BINDING and ("%" in value or not is_address(value)):
            raise BadParameterError(f"failed to parse {name} value: {value} (nil ip)")
    prefix = options.get("com.docker.network.container_iface_prefix", "")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise BadParameterError(
            f"invalid container interface prefix {prefix!r}: at most 12 characters, no spaces, no /, : and %"
        )
    if link and any(link == other.link for other in others):
        raise ForbiddenError(f"a network with the bridge name {link} exists already")


def complete_pools(
    asked: Sequence[IpamPool],
    others: Sequence[NetworkRecord],
    routes: list[Network],
    *,
    ipv6: bool,
    seed: str,
    choices: Sequence[SubnetPool] = (),
) -> tuple[IpamPool, ...]:
    """Complete the subnets: at most one of each family, chosen where none was given, with gateways."""
    taken = [parse_subnet(pool.subnet) for other in others for pool in other.pools]
    given = [pool for pool in asked if pool.subnet]
    for pool in asked:
        if not pool.subnet and (pool.gateway or pool.ip_range or pool.auxiliary_addresses):
            raise IpamError("invalid network config: a gateway or a range needs a subnet")
    found: list[IpamPool] = []
    for pool in given:
        made = _completed(pool)
        check_overlap(parse_subnet(pool.subnet), [*taken, *(parse_subnet(entry.subnet) for entry in found)])
        if any((":" in entry.subnet) == (":" in made.subnet) for entry in found):
            raise IpamError("bridge driver doesn't support multiple subnets of one address family")
        if ":" not in made.subnet or ipv6:
            found.append(made)
    found.sort(key=lambda entry: ":" in entry.subnet)  # IPv4 first, as docker shows them
    if not any(":" not in entry.subnet for entry in found):
        found.insert(0, _completed(IpamPool(subnet=str(choose_subnet([*taken, *routes], choices)))))
    if ipv6 and not any(":" in entry.subnet for entry in found):
        found.append(_completed(IpamPool(subnet=str(choose_subnet6(seed, [*taken, *routes], choices)))))
    return tuple(found)


def _completed(pool: IpamPool) -> IpamPool:
    made = pool_of(pool)
    return IpamPool(
        subnet=str(made.subnet),
        ip_range=pool.ip_range,
        gateway=str(made.gateway),
        auxiliary_addresses=pool.auxiliary_addresses,
    )


def pool_of(pool: IpamPool) -> AddressAllocator:
    """Return the addresses of a subnet. Raises IpamError."""
    return AddressAllocator(
        pool.subnet, gateway=pool.gateway, ip_range=pool.ip_range, auxiliary=pool.auxiliary_addresses
    )
