"""Checks of a create request that need no lookup, with dockerd's messages."""

from __future__ import annotations

from runtime.docker_syntax import extra_hosts, log_options, mounts, ports, sysctls, ulimits
from runtime.engine.errors import BadParameterError, UnavailableError, refusing
from runtime.engine.service.host.facts import HostFacts
from runtime.engine.service.model.request import Config, Healthcheck, HostConfig
from runtime.engine.service.model.signals import number_of
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.device_nodes import rules_of
from runtime.engine.service.rules.limits import check_resources
from runtime.engine.service.rules.mounting import check_target, clean_target
from runtime.engine.service.rules.restart import check_policy
from runtime.engine.service.rules.security import capabilities_of, parse_security, seccomp_of
from runtime.network.resolvconf import is_address

RUNTIMES = ("", "nn", "runc", "io.containerd.runc.v2")
_HOSTNAME_MOST = 64
_SHORTEST_NS = 1_000_000


def check_config(config: Config) -> None:
    """Raise BadParameterError for an invalid Config."""
    if config.working_dir and not config.working_dir.startswith("/"):
        raise BadParameterError(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    if len(config.hostname) > _HOSTNAME_MOST:
        raise BadParameterError(f"invalid hostname: {config.hostname}; 64 characters are the most")
    for text in config.env or ():
        if not text.partition("=")[0]:
            raise BadParameterError(f"invalid environment variable: {text}")
    if config.stop_signal:
        number_of(config.stop_signal)
    if config.exposed_ports:
        with refusing():
            for port in config.exposed_ports:
                ports.parse(port)
    if config.healthcheck is not None:
        _check_healthcheck(config.healthcheck)


def check_host_config(config: Config, host: HostConfig, facts: HostFacts) -> list[str]:
    """Raise BadParameterError or UnavailableError for an invalid HostConfig; return docker's warnings."""
    check_policy(host.restart_policy, auto_remove=host.auto_remove)
    namespace_modes.check_modes(host)
    warnings = check_resources(host, facts)
    if host.shm_size and host.shm_size < 0:
        raise BadParameterError("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise BadParameterError(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    _check_unavailable(host)
    with refusing():
        _check_texts(host)
    caps = capabilities_of(host)
    seccomp_of(parse_security(host.security_opt).seccomp, caps)
    rules_of(host.device_cgroup_rules)
    if "" in (host.annotations or {}):
        raise BadParameterError("invalid Annotations: the empty string is not permitted as an annotation key")
    for target in host.tmpfs or {}:
        check_target(clean_target(target), "", "tmpfs")
    _check_sysctls(host)
    for address in host.dns or ():
        if not is_address(address):
            raise BadParameterError(f"bad nameserver address: {address}")
    return warnings + _health_warnings(config) + _network_warnings(config, host)


def _check_texts(host: HostConfig) -> None:
    """Parse options that are kept as text and used at the start. Raises MalformedError."""
    log_options.parse(host.log_config.type, host.log_config.config or {})
    for limit in host.ulimits or ():
        ulimits.check(limit.name, limit.soft, limit.hard)
    for options in (host.tmpfs or {}).values():
        mounts.tmpfs_options(options)
    for line in host.extra_hosts or ():
        extra_hosts.parse(line)
    for port, bindings in (host.port_bindings or {}).items():
        ports.parse(port)
        for binding in bindings or ():
            ports.range_of(binding.host_port or "0")


def _check_unavailable(host: HostConfig) -> None:
    if host.runtime not in RUNTIMES:
        raise BadParameterError(f"unknown or invalid runtime name: {host.runtime}")
    if host.isolation not in ("", "default", "process"):
        raise BadParameterError(f"invalid isolation '{host.isolation}' on linux")
    if host.storage_opt:
        raise UnavailableError(
            "storage options are not available: the file system of the images has no project quotas"
        )
    for request in host.device_requests or ():
        asked = " ".join(f"[{' '.join(words or ())}]" for words in request.capabilities or ())
        raise UnavailableError(
            f'could not select device driver "{request.driver}" with capabilities: [{asked}]'
        )


def check_conflicts(config: Config, host: HostConfig) -> None:
    """Raise BadParameterError for options that conflict with a shared UTS or network namespace.

    config: as requested; an image may expose ports all the same.
    """
    if config.hostname and host.uts_mode == "host":
        raise BadParameterError("conflicting options: hostname and the UTS mode")
    network = namespace_modes.sharing(host, "network")
    if host.links and not network.own:
        kind = "host type networking" if network.host else "container type network"
        raise BadParameterError(
            f"conflicting options: {kind} can't be used with links. This would result in undefined behavior"
        )
    if not network.ref:
        return
    clashes = {
        "hostname and the network mode": config.hostname,
        "dns and the network mode": host.dns,
        "custom host-to-IP mapping and the network mode": host.extra_hosts,
        "mac-address and the network mode": config.mac_address,
        "port publishing and the container type network mode": host.port_bindings or host.publish_all_ports,
        "port exposing and the container type network mode": config.exposed_ports,
    }
    for what, asked in clashes.items():
        if asked:
            raise BadParameterError(f"conflicting options: {what}")


def _check_sysctls(host: HostConfig) -> None:
    for name in host.sysctls or {}:
        namespace = sysctls.namespace_of(name)
        if not namespace:
            raise BadParameterError(f"sysctl '{name}' is not whitelisted")
        if namespace_modes.sharing(host, namespace).host:
            raise BadParameterError(f"sysctl '{name}' not allowed in host {namespace} namespace")


def _check_healthcheck(check: Healthcheck) -> None:
    for name, value in (
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ):
        if value < 0 or 0 < value < _SHORTEST_NS:
            raise BadParameterError(f"{name} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise BadParameterError("Retries in Healthcheck cannot be negative")


def _health_warnings(config: Config) -> list[str]:
    test = config.healthcheck.test if config.healthcheck else None
    if not test or test[0] in ("NONE", "CMD", "CMD-SHELL", ""):
        return []
    return [f"Unknown healthcheck type '{test[0]}' (expected 'CMD'): the container's health is not probed"]


def _network_warnings(config: Config, host: HostConfig) -> list[str]:
    bound = host.port_bindings or (host.publish_all_ports and config.exposed_ports)
    if bound and not namespace_modes.sharing(host, "network").own:
        return ["Published ports are discarded when using host network mode"]
    return []
