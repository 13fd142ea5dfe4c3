"""A container's `hosts` and `resolv.conf`, and their changes while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runtime.docker_syntax import extra_hosts as lines
from runtime.engine.errors import BadParameterError, refusing
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import HostConfig
from runtime.engine.service.networks.live_network import Attached
from runtime.network import resolvconf
from runtime.network.container_netns import RESOLVER
from runtime.network.resolvconf import ResolvConf

_HOSTS = Path("/etc/hosts")
_IPV6 = Path("/proc/sys/net/ipv6")


def resolv_conf(wanted: HostConfig, host: ResolvConf, *, resolver: bool) -> bytes:
    """Return a container's resolv.conf. resolver: it asks the daemon, which asks the others."""
    servers, search, options = wanted.dns or (), wanted.dns_search or (), wanted.dns_options or ()
    if wanted.network_mode == "host":
        return resolvconf.write(resolvconf.with_overrides(host, servers, search, options)).encode()
    base = resolvconf.with_overrides(resolvconf.for_containers(host), servers, search, options)
    if resolver:
        ndots = () if any(option.startswith("ndots:") for option in base.options) else ("ndots:0",)
        base = ResolvConf((RESOLVER,), base.search, (*base.options, *ndots))
    return resolvconf.write(base).encode()


def hosts(
    record: ContainerRecord,
    attached: Iterable[Attached],
    links: Mapping[str, Sequence[str]],
    gateway: str,
) -> bytes:
    """Return a container's hosts. links: address → names. gateway: what host-gateway stands for."""
    extra = extra_hosts(record, gateway)
    if record.host_config.network_mode == "host":
        own = _HOSTS.read_text("utf-8", "replace") if _HOSTS.exists() else ""
        return (own + "".join(f"{address}\t{name}\n" for address, name in extra)).encode()
    entries = [*extra, *((address, " ".join(names)) for address, names in links.items())]
    entries += [(address, own_names(record)) for place in attached for address in place.addresses]
    return resolvconf.hosts_text(entries, ipv6=_has_ipv6(record)).encode()


def _has_ipv6(record: ContainerRecord) -> bool:
    """Say whether a container's loopback gets ::1."""
    sysctls = record.host_config.sysctls or {}
    off = any(sysctls.get(f"net.ipv6.conf.{name}.disable_ipv6") == "1" for name in ("all", "lo"))
    return _IPV6.exists() and not off


def own_names(record: ContainerRecord) -> str:
    """Return the names of a container's own addresses: its host name with and without the domain.

    The domain may be part of the host name or given separately.
    """
    name, domain = record.config.hostname, record.config.domainname
    full = f"{name}.{domain}" if domain else name
    short, dot, _ = full.partition(".")
    return f"{full} {short}" if dot else full


def extra_hosts(record: ContainerRecord, gateway: str) -> list[tuple[str, str]]:
    """Return (address, name) of `--add-host`. Raises BadParameterError."""
    found = []
    for text in record.host_config.extra_hosts or ():
        with refusing():
            name, address = lines.parse(text)
        if address == lines.GATEWAY:
            if not gateway:
                raise BadParameterError(
                    "unable to derive the IP value for host-gateway: there is no network bridge"
                )
            address = gateway
        found.append((address, name))
    return found


def add_hosts(path: Path, record: ContainerRecord, attached: Attached) -> None:
    """Append a running container's new addresses to its hosts."""
    text = "".join(f"{address}\t{own_names(record)}\n" for address in attached.addresses)
    _rewrite(path, _read(path) + text)


def drop_hosts(path: Path, attached: Attached) -> None:
    """Remove addresses that a running container has lost from its hosts."""
    lines = _read(path).splitlines(keepends=True)
    _rewrite(path, "".join(line for line in lines if line.split("\t")[0] not in attached.addresses))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _rewrite(path: Path, text: str) -> None:
    replace_in_place(path, text.encode("utf-8", "surrogateescape"))


def replace_in_place(path: str | Path, data: bytes) -> None:
    """Write a file that running containers may have mounted: its inode must stay."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
