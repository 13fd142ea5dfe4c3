"""What docker's `inspect -f` shows where a document has nothing: its client reads documents into Go's types.

There an absent list is `[]`, an absent map `map[]`, an absent pointer `<nil>` and an absent text empty,
whether the document says null or leaves the field away; and each element of a set (JSON's `{"80/tcp": {}}`)
is `{}`.
"""

from __future__ import annotations

from runtime.cli.template_functions import Empty, Nil
from runtime.cli.templates import member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LISTS = frozenset((
    "Aliases", "Args", "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps", "BlkioWeightDevice", "CapAdd", "CapDrop", "Cmd", "DNSNames",
    "DeviceCgroupRules", "DeviceRequests", "Devices", "Dns", "DnsOptions", "DnsSearch", "Entrypoint", "Env",
    "ExecIDs", "ExtraHosts", "GroupAdd", "Layers", "Links", "Log", "MaskedPaths", "Mounts", "OnBuild",
    "Peers", "ReadonlyPaths", "RepoDigests", "RepoTags", "SecondaryIPAddresses", "SecondaryIPv6Addresses",
    "SecurityOpt", "Shell", "Test", "Ulimits", "VolumesFrom",
))  # fmt: skip
_MAPS = frozenset((
    "Annotations", "AuxiliaryAddresses", "Containers", "Data", "DriverOpts", "ExposedPorts", "Labels",
    "Networks", "Options", "PortBindings", "Ports", "Services", "StorageOpt", "Sysctls", "Tmpfs", "Volumes",
))  # fmt: skip
_TEXTS = frozenset(("CreatedAt", "MacAddress", "OsVersion", "Parent", "StopSignal", "Variant"))
_SETS = frozenset(("ExposedPorts", "Volumes"))
_OMITTED = frozenset((
    "Annotations", "AuxiliaryAddresses", "BindOptions", "BlkioWeightDevice", "ClusterVolume",
    "ContainerConfig", "CreatedAt", "ExposedPorts", "Health", "Healthcheck", "Init", "Layers", "MacAddress",
    "Mounts", "OsVersion", "Peers", "Services", "Shell", "SizeRootFs", "SizeRw", "StopSignal",
    "StopTimeout", "StorageOpt", "Sysctls", "Tmpfs", "TmpfsOptions", "UsageData", "Variant",
    "VolumeOptions",
))  # fmt: skip
"""What a document leaves away where there is nothing; all else is null."""

_LIST, _MAP, _POINTER = Nil("[]"), Nil("map[]"), Nil("<nil>")


class _Map(dict):  # type: ignore[type-arg]
    """Names that somebody chose, as opposed to fields: one that is not there is no mistake."""


def field(value: Any, name: str) -> Any:
    """Return a field of a document, as docker's client has it."""
    if value is _MAP:
        return None
    if isinstance(value, _Map):
        return value.get(name)
    if isinstance(value, dict) and value.get(name) is None and (name in value or name in _OMITTED):
        return _absent(name)
    found = member(value, name)
    if name in _SETS and isinstance(found, dict):
        return _Map((key, Empty(one or {})) for key, one in found.items())
    return _Map(found) if name in _MAPS and isinstance(found, dict) else found


def _absent(name: str) -> Any:
    if name in _LISTS:
        return _LIST
    if name in _MAPS:
        return _MAP
    return "" if name in _TEXTS else _POINTER
