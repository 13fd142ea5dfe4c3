"""`/volumes`: list, create, inspect, remove and prune volumes."""

from __future__ import annotations

import asyncio
import secrets

from msgspec import UNSET, UnsetType

from runtime.api.http.routing import Call, route
from runtime.engine.errors import ConflictError
from runtime.engine.service.model.filters import Filters, any_matches, check_filters, flag_of, labels_fit
from runtime.engine.service.model.request import Body, FilterQuery, Query
from runtime.engine.service.service import Service
from runtime.volume.errors import VolumeError, VolumeNotFoundError
from runtime.volume.store import Volume

ANONYMOUS = "com.docker.volume.anonymous"
_LIST = frozenset({"dangling", "driver", "label", "name"})
_PRUNE = frozenset({"all", "label", "label!"})
_PRUNES_ANONYMOUS = (1, 42)
"""From this version on a prune without `all` keeps named volumes."""


class RemoveQuery(Query):
    """force: a missing volume is not an error."""

    force: bool = False


class VolumeCreate(Body):
    """The body of create. Without a name it makes an anonymous volume, which a prune removes."""

    name: str = ""
    driver: str = "local"
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class VolumeUsage(Body):
    """ref_count: containers that use it, running or not. size: bytes."""

    ref_count: int
    size: int


class VolumeView(Body):
    """A volume. usage_data: only in `/system/df`."""

    created_at: str
    driver: str
    labels: dict[str, str] | None
    mountpoint: str
    name: str
    options: dict[str, str] | None
    scope: str = "local"
    usage_data: VolumeUsage | UnsetType = UNSET


class VolumeList(Body):
    """The volumes that match the filters."""

    volumes: list[VolumeView]
    warnings: list[str] | None = None


class Pruned(Body):
    """Names of the removed volumes. space_reclaimed: bytes."""

    volumes_deleted: list[str]
    space_reclaimed: int


def view(service: Service, volume: Volume, usage: VolumeUsage | UnsetType = UNSET) -> VolumeView:
    """Show a volume."""
    return VolumeView(
        created_at=volume.created,
        driver=volume.driver,
        labels=volume.labels or None,
        mountpoint=str(service.volumes.mountpoint(volume.name)),
        name=volume.name,
        options=volume.options or None,
        usage_data=usage,
    )


@route("GET", "/volumes", query=FilterQuery, answer=VolumeList, also=(400,))
async def list_volumes(call: Call[FilterQuery, None]) -> VolumeList:
    """List volumes."""
    found = _selected(call.service, call.query.filters)
    return VolumeList(volumes=[view(call.service, volume) for volume in found])


@route("POST", "/volumes/create", body=VolumeCreate, answer=VolumeView, status=201, also=(400, 404, 409))
async def create_volume(call: Call[Query, VolumeCreate]) -> VolumeView:
    """Create a volume, or return the existing one of this name."""
    volumes, body = call.service.volumes, call.body
    name, labels = body.name or secrets.token_hex(32), dict(body.labels or {})
    if not body.name:
        labels[ANONYMOUS] = ""
    made = await asyncio.to_thread(
        volumes.ensure, name, driver=body.driver, options=body.driver_opts or {}, labels=labels
    )
    if made:
        call.service.events.publish("volume", "create", name, {"driver": "local"})
    return view(call.service, volumes.get(name))


@route("POST", "/volumes/prune", query=FilterQuery, answer=Pruned, also=(400,))
async def prune_volumes(call: Call[FilterQuery, None]) -> Pruned:
    """Remove volumes that no container uses."""
    filters = call.query.filters
    check_filters(filters, _PRUNE)
    named = bool(flag_of(filters, "all")) or call.version < _PRUNES_ANONYMOUS
    removed, freed = [], 0
    for volume in _unused(call.service):
        if not (named or ANONYMOUS in volume.labels) or not labels_fit(filters, volume.labels):
            continue
        try:
            size = await asyncio.to_thread(call.service.volumes.usage, volume.name)
            await _remove(call.service, volume.name)
        except (ConflictError, VolumeError):
            continue
        removed.append(volume.name)
        freed += size
    call.service.events.publish("volume", "prune", "", {"reclaimed": str(freed)})
    return Pruned(volumes_deleted=removed, space_reclaimed=freed)


@route("GET", "/volumes/{name}", answer=VolumeView, also=(404,))
async def inspect_volume(call: Call[Query, None]) -> VolumeView:
    """Inspect a volume."""
    return view(call.service, call.service.volumes.get(call.path["name"]))


@route("DELETE", "/volumes/{name}", query=RemoveQuery, status=204, also=(404, 409))
async def remove_volume(call: Call[RemoveQuery, None]) -> None:
    """Remove a volume that no container uses."""
    try:
        await _remove(call.service, call.path["name"])
    except VolumeNotFoundError:
        if not call.query.force:
            raise


async def _remove(service: Service, name: str) -> None:
    users = [record.id for record in service.containers.using_volume(name)]
    if users:
        raise ConflictError(f"remove {name}: volume is in use - [{', '.join(users)}]")
    await asyncio.to_thread(service.volumes.remove, name)
    service.events.publish("volume", "destroy", name, {"driver": "local"})


def _unused(service: Service) -> list[Volume]:
    return [volume for volume in service.volumes.list() if not service.containers.using_volume(volume.name)]


def _selected(service: Service, filters: Filters) -> list[Volume]:
    check_filters(filters, _LIST)
    dangling = flag_of(filters, "dangling")
    drivers = filters.get("driver", ())
    found = [
        volume
        for volume in service.volumes.list()
        if any_matches(filters.get("name", ()), volume.name)
        and (not drivers or volume.driver in drivers)
        and labels_fit(filters, volume.labels)
    ]
    if dangling is None:
        return found
    unused = {volume.name for volume in _unused(service)}
    return [volume for volume in found if (volume.name in unused) == dangling]
