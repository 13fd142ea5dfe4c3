"""Absent fields in `inspect -f` and `events --format`: shown as docker does, as zero values of Go's types.

Docker's client decodes documents into Go types before a template sees them. There an absent list is `[]`,
an absent map `map[]`, an absent pointer `<nil>` and an absent text empty, whether the document has null or
leaves out the field; an element of a set (JSON's `{"80/tcp": {}}`) is `{}`, and a duration `1m30s`. Scripts
compare with these: tests/runtime/api/test_client_templates.py holds both clients to them.
"""

from __future__ import annotations

from runtime.cli.output.template_functions import Empty, Nil
from runtime.cli.output.templates import member
from runtime.docker_syntax import durations

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
    "Annotations", "Attributes", "AuxiliaryAddresses", "Containers", "Data", "DriverOpts", "ExposedPorts",
    "Labels", "Networks", "Options", "PortBindings", "Ports", "Services", "StorageOpt", "Sysctls",
    "Tmpfs", "Volumes",
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
"""Fields that a document leaves out when they are empty; others are null."""

_LIST, _MAP, _POINTER = Nil("[]"), Nil("map[]"), Nil("<nil>")

_DURATIONS = frozenset(("Interval", "StartInterval", "StartPeriod", "Timeout"))
_KINDS: dict[str, dict[str, Any]] = {
    "Actor": {
        "From": "",
        "ID": "",
        "Scope": "",
        "Status": "",
        "from": "",
        "id": "",
        "scope": "",
        "status": "",
    },
    "Architecture": {"Container": "", "Created": "", "VirtualSize": 0},
    "Destination": {"Driver": "", "Name": "", "Type": ""},
    "NanoCpus": {"KernelMemory": 0, "KernelMemoryTCP": 0, "Runtime": ""},
    "Subnet": {"Gateway": "", "IPRange": ""},
    "Target": {"Consistency": "", "ReadOnly": False, "Source": ""},
    "WorkingDir": {"ArgsEscaped": False, "NetworkDisabled": False},
}
"""A field that every event, image, mount, … has → zero values of what such a document may leave out."""
_LOOSE: tuple[dict[str, Any], ...] = (
    {"Interval": 0, "Retries": 0, "StartInterval": 0, "StartPeriod": 0, "Test": _LIST, "Timeout": 0},
    {"IPv4Address": "", "IPv6Address": "", "LinkLocalIPs": _LIST},
)
"""The same for documents that may leave out every field."""


class _Map(dict):  # type: ignore[type-arg]
    """A map with names that users choose, not fields: a missing name is not an error."""


class Duration(int):
    """Nanoseconds, shown as Go does: 1m30s, 1.5ms. In JSON a number."""

    def __str__(self) -> str:
        return durations.text_of(int(self))


def field(value: Any, name: str) -> Any:
    """Return a field of a document, as docker's client shows it."""
    if value is _MAP:
        return None
    if isinstance(value, _Map):
        return value.get(name)
    if isinstance(value, dict) and value.get(name) is None and (name in value or name in _OMITTED):
        return _absent(name)
    found = _member(value, name)
    if name in _DURATIONS and isinstance(found, int):
        return Duration(found)
    if name in _SETS and isinstance(found, dict):
        return _Map((key, Empty(one or {})) for key, one in found.items())
    return _Map(found) if name in _MAPS and isinstance(found, dict) else found


def _member(value: Any, name: str) -> Any:
    try:
        return member(value, name)
    except LookupError:
        nothing = _nothing(value) if isinstance(value, dict) else {}
        if name not in nothing:
            raise
        return nothing[name]


def _nothing(value: dict[str, Any]) -> dict[str, Any]:
    """Return the zero values of the fields that a document of this kind may leave out."""
    known: dict[str, Any] = {}
    for mark, fields in _KINDS.items():
        if mark in value:
            known |= fields
    for fields in _LOOSE:
        if value.keys() <= fields.keys():
            known |= fields
    return known


def _absent(name: str) -> Any:
    if name in _LISTS:
        return _LIST
    if name in _MAPS:
        return _MAP
    return "" if name in _TEXTS else _POINTER
