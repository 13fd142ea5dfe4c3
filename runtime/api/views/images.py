"""The documents of `/images/json`, `/images/{name}/json` and `/images/{name}/history`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from runtime.docker_syntax.times import NEVER
from runtime.engine.service.images.image_config import read_document
from runtime.engine.service.model.request import Body, Config
from runtime.engine.service.service import Service
from runtime.image.store.history import history
from runtime.image.store.image import Image
from runtime.image.store.listing import ImageRow, seconds_of

_LEFT_OUT = frozenset(
    {"ExposedPorts", "Healthcheck", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell"}
)
"""Fields of a Config that Docker leaves out if they are empty."""
_VIRTUAL_SIZE_UNTIL = (1, 43)
_CREATED_MAY_LACK = (1, 44)


class ImageSummary(Body, frozen=True, kw_only=True):
    """A row of the list. size: bytes of the files in its layers; -1: not requested."""

    id: str
    parent_id: str
    repo_tags: list[str]
    repo_digests: list[str]
    created: int
    size: int
    shared_size: int
    virtual_size: int | UnsetType = UNSET
    labels: dict[str, str] | None
    containers: int


class RootFsDocument(Body, frozen=True):
    """The layers' digests, lowest first."""

    type: str
    layers: list[str]


class GraphDriver(Body, frozen=True):
    """Where files are. data: LowerDir, UpperDir, WorkDir, and MergedDir of a running container."""

    data: dict[str, str]
    name: str


class MetadataDocument(Body, frozen=True):
    """What only this daemon knows about it."""

    last_tag_time: str


class ImageDocument(Body, frozen=True, kw_only=True):
    """An inspected image."""

    id: str
    repo_tags: list[str]
    repo_digests: list[str]
    parent: str
    comment: str
    created: str | UnsetType = UNSET
    docker_version: str
    author: str
    config: dict[str, Any]
    architecture: str
    variant: str | UnsetType = UNSET
    os: str
    size: int
    virtual_size: int | UnsetType = UNSET
    graph_driver: GraphDriver
    root_fs: RootFsDocument = msgspec.field(name="RootFS")
    metadata: MetadataDocument


class HistoryItem(Body, frozen=True):
    """One step, newest first."""

    id: str
    created: int
    created_by: str
    tags: list[str] | None
    size: int
    comment: str


def summary(
    row: ImageRow, version: tuple[int, int], *, shared: int = -1, containers: int = -1
) -> ImageSummary:
    """Make a row of the list."""
    return ImageSummary(
        id=row.id,
        parent_id=row.parent,
        repo_tags=list(row.names),
        repo_digests=list(row.repo_digests),
        created=int(row.created),
        size=row.size,
        shared_size=shared,
        virtual_size=row.size if version <= _VIRTUAL_SIZE_UNTIL else UNSET,
        labels=row.labels or None,
        containers=containers,
    )


def inspect(service: Service, image: Image, version: tuple[int, int]) -> ImageDocument:
    """Make the document of one image. Blocks on the disk."""
    document = read_document(service.images.content.read_blob(image.id))
    last = document.history[-1].comment if document.history else ""
    return ImageDocument(
        id=image.id,
        repo_tags=list(image.names),
        repo_digests=list(image.repo_digests),
        parent=image.parent,
        comment=document.comment or last,
        created=document.created or (UNSET if version >= _CREATED_MAY_LACK else NEVER),
        docker_version="",
        author=document.author,
        config=config_document(document.config),
        architecture=document.architecture,
        variant=document.variant or UNSET,
        os=document.os,
        size=image.unpacked_size,
        virtual_size=image.unpacked_size if version <= _VIRTUAL_SIZE_UNTIL else UNSET,
        graph_driver=_graph_driver(image),
        root_fs=RootFsDocument(type="layers", layers=list(document.rootfs.diff_ids)),
        metadata=MetadataDocument(last_tag_time=image.tagged or NEVER),
    )


def config_document(config: Config) -> dict[str, Any]:
    """Show a Config, without what Docker leaves out of it."""
    shown: dict[str, Any] = msgspec.to_builtins(config)
    if config.healthcheck is not None:
        shown["Healthcheck"] = {key: value for key, value in shown["Healthcheck"].items() if value}
    return {key: value for key, value in shown.items() if value is not None or key not in _LEFT_OUT}


def _graph_driver(image: Image) -> GraphDriver:
    tops = [str(path) for path in reversed(image.layer_dirs)]
    data = {"UpperDir": tops[0]} if tops else {}
    if tops[1:]:
        data["LowerDir"] = ":".join(tops[1:])
    return GraphDriver(data=data, name="overlay2")


def history_items(service: Service, image: Image) -> list[HistoryItem]:
    """Show how an image came to be. Blocks on the disk."""
    return [
        HistoryItem(
            id=step.id,
            created=int(seconds_of(step.created)),
            created_by=step.created_by,
            tags=list(step.names) or None,
            size=step.size,
            comment=step.comment,
        )
        for step in history(service.images, image)
    ]
