"""The configuration of `nnd` from its flags and its file, with the keys of dockerd's `daemon.json`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from runtime.api.daemon.flags import DEFAULT_FILE, DEFAULT_ROOT, LEVELS, PLAIN, size, values_of
from runtime.engine.errors import BadParameterError
from runtime.engine.service.rules.settings import Settings, check_settings, without_conflicts
from runtime.spawn.errnos import errno_text


class Configuration(Settings, frozen=True, kw_only=True, rename="kebab"):
    """All options, those of the process here. The fields are flags.FLAGS, with their defaults."""

    data_root: str = DEFAULT_ROOT
    hosts: tuple[str, ...] = ()
    group: str = ""
    tls: bool = False
    tlsverify: bool = False
    tlscacert: str = "ca.pem"
    tlscert: str = "cert.pem"
    tlskey: str = "key.pem"
    plain: bool = msgspec.field(default=False, name=PLAIN.lstrip("-"))
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    experimental: bool = False
    live_restore: bool = False
    pidfile: str = ""
    log_level: str = "info"
    debug: bool = False
    exec_opts: tuple[str, ...] = ()


_SHM = "default-shm-size"
_KEYS = frozenset(field.encode_name for field in msgspec.structs.fields(Configuration))


def configuration(given: argparse.Namespace) -> Configuration:
    """Merge flags and file. Raises BadParameterError, with dockerd's message where it has one."""
    flags = values_of(given)
    asked: str | None = getattr(given, "config_file", None)
    path = Path(asked or DEFAULT_FILE)
    try:
        file = _read(path, needed=asked is not None)
        _check_keys(file, flags)
        values = {**file, **flags}
        if _SHM in values:
            values[_SHM] = size(values[_SHM])
        found = msgspec.convert(values, Configuration)
    except (OSError, ValueError, BadParameterError) as error:  # ValueError: not UTF-8, not JSON, a wrong type
        why = errno_text(error) if isinstance(error, OSError) else error
        raise BadParameterError(f"unable to configure the daemon with file {path}: {why}") from error
    if found.log_level not in LEVELS:
        raise BadParameterError(f"invalid logging level: {found.log_level}; use {', '.join(LEVELS)}")
    return found


def _read(path: Path, *, needed: bool) -> dict[str, Any]:
    """Return the file's document; {} if the default file does not exist."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        if needed:
            raise
        return {}
    return msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else {}


def _check_keys(file: dict[str, Any], flags: dict[str, Any]) -> None:
    unknown = sorted(file.keys() - _KEYS)
    if unknown:
        raise BadParameterError(
            f"the following directives don't match any configuration option: {', '.join(unknown)}"
        )
    both = [f"{key}: (from flag: {flags[key]}, from file: {file[key]})" for key in file if key in flags]
    if both:
        raise BadParameterError(
            "the following directives are specified both as a flag and in the configuration file: "
            + ", ".join(both)
        )


def settings_of(asked: Configuration) -> Settings:
    """Return the engine's part of the configuration. Raises BadParameterError for invalid values."""
    for option in asked.exec_opts:
        _check_exec_option(option)
    settings = msgspec.structs.replace(asked, labels=without_conflicts(asked.labels))
    check_settings(settings)
    return settings


def _check_exec_option(option: str) -> None:
    """Accept only the options that name what nnd does anyway."""
    name, _, value = option.partition("=")
    if name != "native.cgroupdriver":
        raise BadParameterError(f"invalid exec option: {option}; use native.cgroupdriver=cgroupfs or none")
    if value == "systemd":
        raise BadParameterError(
            "native.cgroupdriver=systemd: nnd has no units made by systemd; leave the option out and run nnd "
            "in a unit with Delegate=yes and DelegateSubgroup=main: its containers are then in that unit's "
            "cgroup"
        )
    if value != "cgroupfs":
        raise BadParameterError(f"invalid cgroup driver: {value}; use cgroupfs")
