"""The rows of `GET /containers/json`, with sizes and the text of the column STATUS."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from runtime.api.views.mounts_and_ports import Mount, PortRow, mount, port_rows
from runtime.docker_syntax.times import ns_of, since
from runtime.engine.service.model.record import ContainerRecord, State
from runtime.engine.service.model.request import Body, EndpointSettings
from runtime.engine.service.networks.live_network import shown
from runtime.engine.service.records.store import bytes_below
from runtime.engine.service.service import Service
from runtime.image.errors import ImageError


class SummaryHost(Body, kw_only=True):
    """The part of HostConfig that the list shows."""

    network_mode: str
    annotations: dict[str, str] | UnsetType = UNSET


class SummaryNetworks(Body):
    """The networks, by name."""

    networks: dict[str, EndpointSettings]


class ContainerSummary(Body, kw_only=True):
    """One container in the list. created: Unix seconds; sizes in bytes, only if requested."""

    id: str
    names: list[str]
    image: str
    image_id: str = msgspec.field(name="ImageID")
    command: str
    created: int
    ports: list[PortRow]
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET
    labels: dict[str, str]
    state: str
    status: str
    host_config: SummaryHost
    network_settings: SummaryNetworks
    mounts: list[Mount]


def summarize(
    record: ContainerRecord,
    image_id_of: Callable[[str], str],
    sizes: tuple[int, int] | None = None,
    links: Sequence[str] = (),
) -> ContainerSummary:
    """Make the row.

    image_id_of: returns the image id that a name stands for now, "" for none. sizes: from sizing(). links:
    names that other containers' links give it.
    """
    annotations = record.host_config.annotations
    return ContainerSummary(
        id=record.id,
        names=sorted([f"/{record.name}", *links]),
        image=record.image if image_id_of(record.image) == record.image_id else record.image_id,
        image_id=record.image_id,
        command=command_line(record.path, record.args),
        created=ns_of(record.created) // 1_000_000_000,
        ports=port_rows(record),
        size_rw=sizes[0] or UNSET if sizes else UNSET,  # docker leaves 0 out, here but not in inspect
        size_root_fs=sizes[1] if sizes else UNSET,
        labels=record.config.labels or {},
        state=record.state.status,
        status=status_line(record.state),
        host_config=SummaryHost(
            network_mode=record.host_config.network_mode or "bridge", annotations=annotations or UNSET
        ),
        network_settings=SummaryNetworks(networks=shown(record)),
        mounts=[mount(point) for point in record.mounts],
    )


def command_line(path: str, args: Sequence[str]) -> str:
    """Return the column COMMAND: arguments with spaces in quotes, as Docker writes them."""
    return " ".join([path, *(f"'{word}'" if " " in word else word for word in args)])


def image_ids(service: Service) -> Callable[[str], str]:
    """Return a look-up of image ids by name that asks the store once a name."""

    @functools.cache
    def look_up(name: str) -> str:
        try:
            return service.images.find_id(name)
        except ImageError:
            return ""

    return look_up


def sizing(service: Service) -> Callable[[ContainerRecord], tuple[int, int]]:
    """Return a function from a container to (bytes it wrote, the same plus its image's bytes).

    The function blocks on the disk, and looks at each image once.
    """

    @functools.cache
    def image_bytes(image_id: str) -> int:
        try:
            return service.images.resolve(image_id).unpacked_size
        except ImageError:
            return 0

    def sizes_of(record: ContainerRecord) -> tuple[int, int]:
        written = bytes_below(service.containers.directory(record.id) / "layer" / "u")
        return written, written + image_bytes(record.image_id)

    return sizes_of


def status_line(state: State, now_ns: int | None = None) -> str:
    """Return the column STATUS of `docker ps`."""
    if state.status == "running" or state.status == "paused":
        line = f"Up {since(state.started_at, now_ns)}" if state.started_at else "Up"
        return line + _remark(state)
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {_ended(state, now_ns)}"
    if state.status == "removing":
        return "Removal In Progress"
    if state.status == "dead":
        return "Dead"
    if state.status == "created":
        return "Created"
    return f"Exited ({state.exit_code}) {_ended(state, now_ns)}"


def _ended(state: State, now_ns: int | None) -> str:
    return f"{since(state.finished_at, now_ns)} ago" if state.finished_at else ""


def _remark(state: State) -> str:
    if state.status == "paused":
        return " (Paused)"
    if state.health is None or state.health.status == "none":
        return ""
    return " (health: starting)" if state.health.status == "starting" else f" ({state.health.status})"
