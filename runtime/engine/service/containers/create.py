"""Create a container: complete and check the request, and write its record."""

from __future__ import annotations

import asyncio
import os
import platform as machine
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.host.facts import HostFacts, host_facts
from runtime.engine.service.host.filesystem_probe import bind_sources, check_answers
from runtime.engine.service.model.record import ContainerRecord, MountPoint, State, now
from runtime.engine.service.model.request import (
    Config,
    CreateRequest,
    EndpointSettings,
    HostConfig,
    VolumeOptions,
    console_size,
)
from runtime.engine.service.records.names import check_name
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.image_defaults import merge, own_config, program_of
from runtime.engine.service.rules.mounting import (
    ANONYMOUS_LABEL,
    Planned,
    check_volume_paths,
    plan_mounts,
    subpath_of,
)
from runtime.engine.service.rules.old_links import bound
from runtime.engine.service.rules.settings import DEFAULTS, Settings
from runtime.engine.service.rules.validate import check_config, check_conflicts, check_host_config
from runtime.image.layers.layer_view import LayerView
from runtime.image.layers.store_files import LockTimeoutError
from runtime.image.registry.platforms import from_document, parse_platform, rank
from runtime.oci import defaults

if TYPE_CHECKING:
    from runtime.image.store.image import Image

_IMAGES_KEPT = 64


class Creator:
    """Makes containers of requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._table = parts, parts.table
        self._images: OrderedDict[str, Image] = OrderedDict()

    async def create(
        self,
        name: str | None,
        request: CreateRequest,
        *,
        platform: str = "",
        of_build: bool = False,
        shallow: bool = False,
    ) -> tuple[str, list[str]]:
        """Make a container; return its id and docker's warnings. A failure leaves nothing behind.

        platform, of_build, shallow: as Containers.create has them.
        Raises BadParameterError, ConflictError for a taken name, ImageNotFoundError, or a part's error.
        """
        wanted = check_name(name) if name else ""
        facts, image = host_facts(), await self._image(request)
        _check_platform(request.image, image, platform)
        own = own_config(request)
        config = merge(own, image.execution)
        asked = self._named_partners(request.host_config or HostConfig())
        settings = self._parts.settings
        asked = msgspec.structs.replace(asked, log_config=settings.log_of(asked.log_config))
        check_config(config)
        check_conflicts(own, asked)
        warnings = check_host_config(config, asked, facts)
        root = os.path.realpath(self._parts.root)
        sources = bind_sources(asked)
        if sources:
            await asyncio.to_thread(check_answers, sources)
        planned = plan_mounts(config, asked, self._mounts_of, daemon_root=root, shallow=shallow)
        record = self._record(wanted, request, config, complete(asked, facts, settings), image.id, planned)
        entry = self._table.add(msgspec.structs.replace(record, of_build=of_build))
        async with entry.lock:
            try:
                await self._keep_image(image.id)
                await _check_volumes(image, planned)
                await self._make(entry, planned)
            except BaseException:
                await self._undo(entry)
                raise
        self._table.publish(entry.record, "create")
        return record.id, warnings

    async def _image(self, request: CreateRequest) -> Image:
        """Find the image; its documents are cached. ImageNotFoundError."""
        if not request.image:
            if request.entrypoint or request.cmd:
                raise BadParameterError("invalid reference format")
            raise BadParameterError("no command specified")
        images = self._parts.images
        image_id = images.find_id(request.image)
        if image_id not in self._images:
            self._images[image_id] = await asyncio.to_thread(images.resolve, image_id)
            while len(self._images) > _IMAGES_KEPT:
                self._images.popitem(last=False)
        self._images.move_to_end(image_id)
        return self._images[image_id]

    async def _keep_image(self, image_id: str) -> None:
        """Check that the image was not removed since; from now on its removals see the container."""
        images = self._parts.images
        try:
            images.require(image_id, patience_s=0)
        except LockTimeoutError:
            await asyncio.to_thread(images.require, image_id)

    def _record(
        self,
        name: str,
        request: CreateRequest,
        config: Config,
        host: HostConfig,
        image_id: str,
        planned: Sequence[Planned],
    ) -> ContainerRecord:
        container_id = self._table.new_id()
        path, arguments = program_of(config)
        asked = request.networking_config
        endpoints = (asked.endpoints_config or {}) if asked else {}
        return ContainerRecord(
            id=container_id,
            name=name or self._table.names.invent(),
            created=now(),
            image=request.image,
            image_id=image_id,
            config=msgspec.structs.replace(config, hostname=self._hostname(config, host, container_id)),
            host_config=host,
            path=path,
            args=arguments,
            networks={key: value or EndpointSettings() for key, value in endpoints.items()},
            mounts=tuple(self._placed(mount.point) for mount in planned),
            state=State(),
        )

    def _placed(self, point: MountPoint) -> MountPoint:
        """Fill in a volume's directory on the host, which inspect shows."""
        if point.type != "volume":
            return point
        source = str(self._parts.volumes.mountpoint(point.name))
        return msgspec.structs.replace(point, source=source)

    def _hostname(self, config: Config, host: HostConfig, container_id: str) -> str:
        network = namespace_modes.sharing(host, "network")
        if config.hostname:
            return config.hostname
        if network.ref:
            partner = self._table.by_id(network.ref)
            return partner.record.config.hostname if partner else ""
        return machine.node() if network.host else "" if host.uts_mode == "host" else container_id[:12]

    def _named_partners(self, host: HostConfig) -> HostConfig:
        """Replace the names of containers to be joined or linked to by their ids.

        As in docker, an unknown container whose network is to be joined is looked up again at the start.
        BadParameterError for other unknown ones: to a client, 404 means that the image is missing.
        """
        changes: dict[str, Any] = {"links": bound(host, self._record_of)}
        for kind, field in (("network", "network_mode"), ("ipc", "ipc_mode"), ("pid", "pid_mode")):
            text = getattr(host, field)
            if text.startswith("container:") and text != "container:":
                try:
                    changes[field] = f"container:{self._table.find(text.partition(':')[2]).id}"
                except NotFoundError as error:
                    if kind != "network":
                        raise BadParameterError(str(error)) from error
            elif text == "default" or (kind == "network" and not text):
                changes[field] = "bridge"
        return msgspec.structs.replace(host, **changes)

    def _record_of(self, ref: str) -> ContainerRecord:
        return self._table.find(ref).record

    def _mounts_of(self, ref: str) -> Sequence[MountPoint]:
        try:
            return self._table.find(ref).record.mounts
        except NotFoundError:
            raise BadParameterError(f"No such container: {ref}") from None

    async def _make(self, entry: ContainerEntry, planned: Sequence[Planned]) -> None:
        """Write everything to disk.

        The record comes before its volumes: a crash between them leaves no orphans.
        """
        table = self._table
        networks = await self._parts.networks.check(entry.record)
        entry.record = msgspec.structs.replace(entry.record, networks=networks)
        if entry.record.host_config.auto_remove:
            table.store.create(entry.record, sync=False)
        else:
            await asyncio.to_thread(table.store.create, entry.record, sync=True)
        volumes = [mount for mount in planned if mount.point.type == "volume"]
        if volumes:
            made = await asyncio.to_thread(self._make_volumes, entry, volumes)
            for name in made:
                self._parts.events.publish("volume", "create", name, {"driver": "local"})

    def _make_volumes(self, entry: ContainerEntry, planned: Sequence[Planned]) -> list[str]:
        """Blocking. Return the names of the new ones."""
        volumes, made = self._parts.volumes, []
        layers = self._table.layers(entry.record)
        for mount in planned:
            point, options = mount.point, mount.volume or VolumeOptions()
            driver = options.driver_config
            labels = dict(options.labels or {})
            if point.anonymous:
                labels[ANONYMOUS_LABEL] = ""
            if volumes.ensure(
                point.name,
                driver=(driver.name if driver else "") or "local",
                options=(driver.options if driver else None) or {},
                labels=labels,
            ):
                made.append(point.name)
            if not point.no_copy:
                volumes.mount(point.name)  # its content may be elsewhere
                try:
                    volumes.populate(point.name, layers, point.destination, subpath_of(point))
                finally:
                    volumes.unmount(point.name)
        return made

    async def _undo(self, entry: ContainerEntry) -> None:
        """Undo a failed creation."""
        table, volumes = self._table, self._parts.volumes
        table.drop(entry)
        gone = table.store.remove(entry.id)
        await table.in_thread(table.store.clear, gone)
        for point in entry.record.mounts:
            if point.anonymous:
                await asyncio.gather(asyncio.to_thread(volumes.remove, point.name), return_exceptions=True)


async def _check_volumes(image: Image, planned: Sequence[Planned]) -> None:
    anonymous = [mount.point.destination for mount in planned if mount.point.anonymous]
    if anonymous:
        await asyncio.to_thread(check_volume_paths, LayerView(image.layer_dirs), anonymous)


def _check_platform(reference: str, image: Image, asked: str) -> None:
    """Refuse an image for another platform. Raises NotFoundError: a client then pulls the right one."""
    if not asked:
        return
    wanted = parse_platform(asked)
    offered = from_document(msgspec.structs.asdict(image.config))
    if rank(wanted, offered) is None:
        raise NotFoundError(
            f"image with reference {reference} was found but does not match the specified platform: wanted "
            f"{wanted}, actual: {offered}"
        )


def complete(host: HostConfig, facts: HostFacts, settings: Settings = DEFAULTS) -> HostConfig:
    """Return the request completed with the daemon's defaults, as inspect shows it."""
    privileged = host.privileged
    changes: dict[str, Any] = {
        "log_config": settings.log_of(host.log_config),
        "restart_policy": _or(host.restart_policy, "name", "no"),
        "ipc_mode": host.ipc_mode or settings.default_ipc_mode,
        "cgroupns_mode": host.cgroupns_mode or settings.default_cgroupns_mode,
        "shm_size": host.shm_size or settings.default_shm_size,
        "runtime": host.runtime or "runc",
        "console_size": list(console_size(host.console_size)),
        "oom_kill_disable": bool(host.oom_kill_disable),
        "pids_limit": host.pids_limit if (host.pids_limit or 0) > 0 else None,
        "memory_swappiness": None if host.memory_swappiness == -1 else host.memory_swappiness,
    }
    if host.memory and not host.memory_swap and facts.swap_limit:
        changes["memory_swap"] = 2 * host.memory
    if not facts.swap_limit and host.memory_swap != -1:
        changes["memory_swap"] = 0
    if not (privileged or "systempaths=unconfined" in (host.security_opt or ())):
        if host.masked_paths is None:
            changes["masked_paths"] = list(defaults.MASKED_BY_DOCKER)
        if host.readonly_paths is None:
            changes["readonly_paths"] = list(defaults.READONLY)
    return msgspec.structs.replace(host, **changes)


def _or(document: Any, field: str, value: str) -> Any:
    return document if getattr(document, field) else msgspec.structs.replace(document, **{field: value})
