"""Expand `privileged` and `devices` of a config into the settings that follow from them."""

from __future__ import annotations

import contextlib
import os
import stat

import msgspec

from runtime.engine.config import ContainerConfig
from runtime.oci import defaults
from runtime.oci.spec import Device
from runtime.spawn import capabilities
from runtime.spawn.cgroups import DeviceRule

_OWN = frozenset({"pts", "shm", "mqueue", "fd", "console", "ptmx"})
"""Names in /dev that every container has of its own."""


def granted(config: ContainerConfig) -> ContainerConfig:
    """Return `config` with what follows from its `privileged` and `devices` written out."""
    if config.privileged:
        return _privileged(config)
    rules = _with_devices(config)
    if rules == config.limits.devices:
        return config
    return msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, devices=rules))


def _privileged(config: ContainerConfig) -> ContainerConfig:
    """Return the config with all rights, all devices and nothing masked, where it has the defaults."""
    changes: dict[str, object] = {
        "devices": _host_devices() + config.devices,
        "limits": msgspec.structs.replace(config.limits, confine_devices=False, devices=()),
    }
    if config.caps == capabilities.DEFAULT:
        changes["caps"] = capabilities.names(capabilities.grantable())
    if config.seccomp == "default":
        changes["seccomp"] = "unconfined"
    if config.masked_paths == defaults.MASKED:
        changes["masked_paths"] = ()
    if config.readonly_paths == defaults.READONLY:
        changes["readonly_paths"] = ()
    return msgspec.structs.replace(config, **changes)


def _with_devices(config: ContainerConfig) -> tuple[DeviceRule, ...]:
    """Return the device rules of the limits, and full access to each device without a rule."""
    rules = config.limits.devices
    known: set[tuple[str, int | None, int | None]] = {(rule.kind, rule.major, rule.minor) for rule in rules}
    for device in config.devices:
        kind = "b" if device.type == "b" else "c"
        if device.type != "p" and (kind, device.major, device.minor) not in known:
            known.add((kind, device.major, device.minor))
            rules += (DeviceRule(kind=kind, major=device.major, minor=device.minor),)  # type: ignore[arg-type]
    return rules


def _host_devices() -> tuple[Device, ...]:
    """Return the device nodes below the host's /dev, except links and what every container has of its own."""
    found: list[Device] = []
    for directory, names, files in os.walk("/dev"):
        if directory == "/dev":
            names[:] = [name for name in names if name not in _OWN]
        for name in sorted(files):
            if directory == "/dev" and name in _OWN:
                continue
            path = f"{directory}/{name}"
            with contextlib.suppress(FileNotFoundError):
                device = device_node(path, os.lstat(path))
                if device is not None:
                    found.append(device)
    return tuple(found)


def device_node(path: str, info: os.stat_result) -> Device | None:
    """Return a device node as a container's at `path`; None where `info` is not of a device."""
    if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        return None
    return Device(
        path=path,
        type="c" if stat.S_ISCHR(info.st_mode) else "b",
        major=os.major(info.st_rdev),
        minor=os.minor(info.st_rdev),
        file_mode=stat.S_IMODE(info.st_mode),
        uid=info.st_uid,
        gid=info.st_gid,
    )
