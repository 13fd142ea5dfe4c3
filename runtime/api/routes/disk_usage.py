"""`/system/df`: disk usage of images, containers and volumes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence

import msgspec

from runtime.api.http.routing import Call, route
from runtime.api.routes.volumes import VolumeUsage, VolumeView, view
from runtime.api.views import images as image_views
from runtime.api.views.images import ImageSummary
from runtime.api.views.summary import ContainerSummary, image_ids, sizing, summarize
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import Body, Query
from runtime.engine.service.service import Service
from runtime.volume import VolumeNotFoundError

KINDS = ("container", "image", "volume", "build-cache")


class UsageQuery(Query):
    """type: container, image, volume, build-cache; none means all. verbose: of API 1.52, ignored."""

    type: list[str] = msgspec.field(default_factory=list)
    verbose: bool = False


class DiskUsage(Body):
    """layers_size: bytes of all images, each layer once. A part that was not requested is null."""

    layers_size: int
    images: list[ImageSummary] | None
    containers: list[ContainerSummary] | None
    volumes: list[VolumeView] | None
    build_cache: list[None] | None


@route("GET", "/system/df", query=UsageQuery, answer=DiskUsage, also=(400,))
async def disk_usage(call: Call[UsageQuery, None]) -> DiskUsage:
    """Return the disk usage of images, containers and volumes."""
    wanted = set(call.query.type) or set(KINDS)
    if unknown := wanted - set(KINDS):
        raise BadParameterError(f"unknown object type: {sorted(unknown)[0]}; ask for {', '.join(KINDS)}")
    records = call.service.containers.list(all=True)
    return await asyncio.to_thread(_measure, call.service, records, wanted, call.version)


def _measure(
    service: Service, records: Sequence[ContainerRecord], wanted: set[str], version: tuple[int, int]
) -> DiskUsage:
    usage = service.images.usage()
    return DiskUsage(
        layers_size=usage.total if "image" in wanted else 0,
        images=_images(service, records, usage.shared, version) if "image" in wanted else None,
        containers=_containers(service, records) if "container" in wanted else None,
        volumes=_volumes(service, records) if "volume" in wanted else None,
        build_cache=[] if "build-cache" in wanted else None,
    )


def _images(
    service: Service, records: Sequence[ContainerRecord], shared: dict[str, int], version: tuple[int, int]
) -> list[ImageSummary]:
    users = Counter(record.image_id for record in records)
    return [
        image_views.summary(row, version, shared=shared.get(row.id, 0), containers=users[row.id])
        for row in service.images.summaries({})
    ]


def _containers(service: Service, records: Sequence[ContainerRecord]) -> list[ContainerSummary]:
    image_id_of, sizes_of = image_ids(service), sizing(service)
    return [summarize(record, image_id_of, sizes_of(record)) for record in records]


def _volumes(service: Service, records: Sequence[ContainerRecord]) -> list[VolumeView]:
    users = Counter(point.name for record in records for point in record.mounts if point.name)
    rows = []
    for volume in service.volumes.list():
        with contextlib.suppress(VolumeNotFoundError):  # removed by another client meanwhile
            usage = VolumeUsage(ref_count=users[volume.name], size=service.volumes.usage(volume.name))
            rows.append(view(service, volume, usage))
    return rows
