"""Differences of older API versions, kept for their clients as dockerd keeps them."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.api.views.inspection import ContainerDocument
from runtime.engine.errors import BadParameterError
from runtime.engine.service.info import InfoAnswer
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import CreateRequest, HostConfig, UpdateRequest

Version = tuple[int, int]

_PREDEFINED = ("bridge", "host", "none")
_MOVED = ("memory", "memory_swap", "cpu_shares", "cpuset_cpus", "volume_driver")
"""Fields that may stand beside HostConfig, where they belong since 1.18."""
_SHORT_ID = 12


def check_creation(request: CreateRequest, version: Version) -> None:
    """Check what this API version does not allow. Raises BadParameterError."""
    asked = request.networking_config
    endpoints = (asked.endpoints_config or {}) if asked else {}
    if version < (1, 44) and len(endpoints) > 1:
        raise BadParameterError(
            f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}"
        )


def creation(request: CreateRequest, version: Version) -> CreateRequest:
    """Move limits that stand beside HostConfig into it, in any version.

    Before 1.40 the default IPC mode was shareable.
    """
    host = request.host_config or HostConfig()
    changes: dict[str, Any] = {
        name: value for name in _MOVED if (value := getattr(request, name)) and not getattr(host, name)
    }
    if request.cpuset and not (host.cpuset_cpus or request.cpuset_cpus):
        changes["cpuset_cpus"] = request.cpuset
    if version < (1, 40) and not host.ipc_mode:
        changes["ipc_mode"] = "shareable"
    if not changes:
        return request
    return msgspec.structs.replace(request, host_config=msgspec.structs.replace(host, **changes))


def update_of(request: UpdateRequest, version: Version) -> UpdateRequest:
    """Drop the limit of processes, which updates could not change before 1.40."""
    return request if version >= (1, 40) else msgspec.structs.replace(request, pids_limit=None)


def inspected(document: ContainerDocument, record: ContainerRecord, version: Version) -> ContainerDocument:
    """Add the container's short id and host name to the aliases, as before 1.45."""
    if version >= (1, 45):
        return document
    own = (record.id[:_SHORT_ID], record.config.hostname)
    networks = {
        name: settings
        if name in _PREDEFINED
        else msgspec.structs.replace(settings, aliases=list(dict.fromkeys([*(settings.aliases or ()), *own])))
        for name, settings in document.network_settings.networks.items()
    }
    settings = msgspec.structs.replace(document.network_settings, networks=networks)
    return msgspec.structs.replace(document, network_settings=settings)


def information(document: InfoAnswer, version: Version) -> InfoAnswer:
    """Show security options as bare names, and an execution driver, as before 1.25."""
    if version >= (1, 25):
        return document
    pairs = [option.split(",") for option in document.security_options]
    names = [word.removeprefix("name=") for pair in pairs for word in pair if word.startswith("name=")]
    return msgspec.structs.replace(document, security_options=names, execution_driver="<not supported>")
