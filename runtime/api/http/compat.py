"""What older versions of the API ask and tell otherwise, as Docker's daemon keeps it for their clients."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.api.views.inspection import ContainerDocument
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import CreateRequest, HostConfig, UpdateRequest

Version = tuple[int, int]

_PREDEFINED = ("bridge", "host", "none")
_MOVED = ("memory", "memory_swap", "cpu_shares", "cpuset_cpus", "volume_driver")
"""What a request may say beside its HostConfig, of which it is a part since 1.18."""
_SHORT_ID = 12


def check_creation(request: CreateRequest, version: Version) -> None:
    """Refuse what a client of this version cannot mean. Raises BadParameterError."""
    asked = request.networking_config
    endpoints = (asked.endpoints_config or {}) if asked else {}
    if version < (1, 44) and len(endpoints) > 1:
        raise BadParameterError(
            f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}"
        )


def creation(request: CreateRequest, version: Version) -> CreateRequest:
    """Take limits that stand beside the host's part into it, in any version.

    Before 1.40 IPC was to be shared, unless something else was asked for.
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
    """Before 1.40 an update did not change the limit of processes."""
    return request if version >= (1, 40) else msgspec.structs.replace(request, pids_limit=None)


def inspected(document: ContainerDocument, record: ContainerRecord, version: Version) -> ContainerDocument:
    """Before 1.45 the names that a container has anyway stood among the aliases that were asked for."""
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


def information(document: dict[str, Any], version: Version) -> dict[str, Any]:
    """Before 1.25 security options were bare names, and there was an execution driver."""
    if version >= (1, 25):
        return document
    pairs = [option.split(",") for option in document["SecurityOptions"]]
    names = [word.removeprefix("name=") for pair in pairs for word in pair if word.startswith("name=")]
    return document | {"SecurityOptions": names, "ExecutionDriver": "<not supported>"}
