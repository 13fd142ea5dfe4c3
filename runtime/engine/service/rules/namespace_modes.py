"""Which namespaces a container shares: `host`, `container:NAME`, or none. Pure functions."""

from __future__ import annotations

from typing import Literal, NamedTuple

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import HostConfig

Kind = Literal["network", "ipc", "pid", "uts"]
KINDS: tuple[Kind, ...] = ("network", "ipc", "pid", "uts")
_CONTAINER = "container:"


class Sharing(NamedTuple):
    """Where a namespace comes from: new, the host's, or that of the container `ref`."""

    host: bool = False
    ref: str = ""

    @property
    def own(self) -> bool:
        """Whether it is the container's own."""
        return not self.host and not self.ref


def text_of(host: HostConfig, kind: Kind) -> str:
    """Return the requested mode of a namespace."""
    return {
        "network": host.network_mode,
        "ipc": host.ipc_mode,
        "pid": host.pid_mode,
        "uts": host.uts_mode,
    }[kind]


def sharing(host: HostConfig, kind: Kind) -> Sharing:
    """Read a mode that was checked before."""
    text = text_of(host, kind)
    if text.startswith(_CONTAINER):
        return Sharing(ref=text.removeprefix(_CONTAINER))
    return Sharing(host=text == "host")


def check_modes(host: HostConfig) -> None:
    """Raise BadParameterError for a mode that does not exist, in docker's words."""
    allowed: dict[Kind, tuple[str, ...]] = {
        "ipc": ("", "host", "private", "shareable", "none"),
        "pid": ("", "host", "private"),
        "uts": ("", "host", "private"),
    }
    for kind, words in allowed.items():
        text = text_of(host, kind)
        joins = text.startswith(_CONTAINER) and kind != "uts" and text != _CONTAINER
        if text not in words and not joins:
            raise BadParameterError(f"invalid {kind.upper()} mode: {text}")
    if host.network_mode in ("container", _CONTAINER):
        raise BadParameterError(
            "Invalid network mode: invalid container format container:<name|id>: no container is named"
        )
    if host.cgroupns_mode not in ("", "private", "host"):
        raise BadParameterError(f"invalid cgroup namespace mode: {host.cgroupns_mode}")
    if host.userns_mode not in ("", "host"):
        raise BadParameterError(f"invalid userns mode: {host.userns_mode}; only host is known")


def partners(record: ContainerRecord) -> dict[Kind, str]:
    """Return kind → reference of the container whose namespace this one shares."""
    found = {kind: sharing(record.host_config, kind).ref for kind in KINDS}
    return {kind: ref for kind, ref in found.items() if ref}


def has_own_network(record: ContainerRecord) -> bool:
    """Say whether a container has its own network namespace."""
    return sharing(record.host_config, "network").own


def on_named_network(host: HostConfig) -> bool:
    """Say whether a container is created for a user-defined network, which resolves names."""
    mode = host.network_mode
    return mode not in ("", "default", "bridge", "host", "none") and not mode.startswith(_CONTAINER)


def keeps_processes(record: ContainerRecord) -> bool:
    """Say whether processes can outlive the container's program: it is not the first of a pid namespace."""
    return not sharing(record.host_config, "pid").own
