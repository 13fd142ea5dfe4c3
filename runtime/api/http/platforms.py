"""Platforms that requests name, `linux/arm64/v8` or a part of that."""

from __future__ import annotations

from runtime.engine.errors import BadParameterError
from runtime.image.registry.platforms import Platform, parse_platform
from runtime.image.registry.registry_errors import RegistryError


def check_name(text: str) -> Platform:
    """Refuse what is no platform at all. Raises BadParameterError."""
    try:
        return parse_platform(text)
    except RegistryError as error:
        raise BadParameterError(str(error)) from error


def check_platform(text: str) -> None:
    """Refuse what this machine cannot run. Raises BadParameterError."""
    system = check_name(text).os
    if system != "linux":
        raise BadParameterError(f'operating system is not supported: "{system}" is not linux')
