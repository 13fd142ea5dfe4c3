"""Check platforms named in requests, `linux/arm64/v8` or a part of that."""

from __future__ import annotations

from runtime.engine.errors import BadParameterError
from runtime.image.registry.platforms import Platform, parse_platform
from runtime.image.registry.registry_errors import RegistryError


def check_name(text: str) -> Platform:
    """Read a platform. Raises BadParameterError for a malformed one."""
    try:
        return parse_platform(text)
    except RegistryError as error:
        raise BadParameterError(str(error)) from error


def check_platform(text: str) -> None:
    """Refuse platforms other than Linux. Raises BadParameterError."""
    system = check_name(text).os
    if system != "linux":
        raise BadParameterError(f'operating system is not supported: "{system}" is not linux')
