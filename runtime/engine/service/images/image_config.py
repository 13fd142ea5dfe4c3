"""Read and write an image's config document, with Docker's whole Config inside. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runtime.engine.service.model.record import now
from runtime.engine.service.model.request import Config
from runtime.image.documents import RootFs, architecture, decode
from runtime.image.errors import ImageError

_OF_A_CONTAINER = frozenset(
    {
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "NetworkDisabled",
        "MacAddress",
    }
)
"""Fields of a Config that belong to one container, and are not part of an image."""


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of an image's history. empty_layer: it added no layer."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole document. created: RFC 3339."""

    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    author: str = ""
    created: str = ""
    comment: str = ""
    config: Config = Config()
    history: tuple[HistoryRow, ...] = ()
    rootfs: RootFs = RootFs(diff_ids=())


def read_document(data: bytes) -> ImageDocument:
    """Read a document; null fields count as missing. Raises ImageError for an invalid one."""
    try:
        return decode(data, ImageDocument)
    except msgspec.MsgspecError as error:
        raise ImageError(f"image has a malformed config: {error}; import it again") from error


def empty_document() -> ImageDocument:
    """Return the document that `FROM scratch` begins with."""
    return ImageDocument(architecture=architecture(), os="linux")


def child_document(
    parent: ImageDocument,
    config: Config,
    *,
    diff_id: str = "",
    created_by: str = "",
    author: str = "",
    comment: str = "",
) -> ImageDocument:
    """Return the document of an image made from `parent` by one step; without a diff_id it adds no layer."""
    row = HistoryRow(
        created=now(), created_by=created_by, author=author, comment=comment, empty_layer=not diff_id
    )
    return grown_document(parent, config, row, diff_id)


def grown_document(
    parent: ImageDocument, config: Config, row: HistoryRow, diff_id: str = ""
) -> ImageDocument:
    """Return the document of `parent` with one more row of history, and a layer if there is one."""
    diff_ids = (*parent.rootfs.diff_ids, diff_id) if diff_id else parent.rootfs.diff_ids
    return msgspec.structs.replace(
        parent,
        author=row.author or parent.author,
        created=row.created,
        comment=row.comment,
        config=config,
        history=(*rows_of(parent), row),
        rootfs=RootFs(diff_ids=diff_ids),
    )


def rows_of(document: ImageDocument) -> tuple[HistoryRow, ...]:
    """Return the history, or a row for each layer where there is none: later rows must follow all layers."""
    return document.history or tuple(HistoryRow(created=document.created) for _ in document.rootfs.diff_ids)


def write_document(document: ImageDocument) -> bytes:
    """Encode a document without empty fields, so that every tool can read it."""
    raw: dict[str, Any] = msgspec.to_builtins(document)
    config = {key: value for key, value in raw.pop("config", {}).items() if key not in _OF_A_CONTAINER}
    raw["config"] = _without_zeros(config)
    raw["rootfs"] = {"type": "layers", "diff_ids": list(document.rootfs.diff_ids)}
    raw.setdefault("os", "linux")
    return msgspec.json.encode(raw, order="deterministic")


def merge_user_config(asked: Config, base: Config) -> Config:
    """Return the config of an image made of a container: `asked`, completed from the container's."""
    entrypoint, command = asked.entrypoint, asked.cmd
    if not entrypoint:
        command = command or base.cmd
        entrypoint = base.entrypoint
    return Config(
        user=asked.user or base.user,
        exposed_ports={**(base.exposed_ports or {}), **(asked.exposed_ports or {})} or None,
        env=_merge_env(asked.env or (), base.env or ()),
        cmd=command,
        healthcheck=asked.healthcheck or base.healthcheck,
        volumes={**(base.volumes or {}), **(asked.volumes or {})} or None,
        working_dir=asked.working_dir or base.working_dir,
        entrypoint=entrypoint,
        on_build=asked.on_build or base.on_build,
        labels={**(base.labels or {}), **(asked.labels or {})} or None,
        stop_signal=asked.stop_signal or base.stop_signal,
        stop_timeout=asked.stop_timeout if asked.stop_timeout is not None else base.stop_timeout,
        shell=asked.shell or base.shell,
    )


def _merge_env(asked: Sequence[str], base: Sequence[str]) -> list[str] | None:
    names = {text.partition("=")[0] for text in asked}
    return [*(text for text in base if text.partition("=")[0] not in names), *asked] or None


def _without_zeros(value: dict[str, Any]) -> dict[str, Any]:
    kept = {
        key: field_value for key, field_value in value.items() if field_value not in (None, "", False, [], {})
    }
    if value.get("Cmd") == []:  # CMD [] differs from no CMD
        kept["Cmd"] = []
    health = kept.get("Healthcheck")
    if isinstance(health, dict):
        kept["Healthcheck"] = {key: field_value for key, field_value in health.items() if field_value}
    return kept
