"""The list of images as docker shows it, one row per image, and docker's filters."""

from __future__ import annotations

import fnmatch
import functools
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from runtime.docker_syntax import MalformedError, booleans, times
from runtime.image.documents import Descriptor, ImageConfig
from runtime.image.errors import ImageError, ImageReferenceError
from runtime.image.layers.layer_store import LayerStore
from runtime.image.references import parse_reference
from runtime.image.store import catalog
from runtime.image.store.catalog import Entries
from runtime.image.store.image import read_documents

Filters = Mapping[str, Sequence[str]]

LIST_FILTERS = frozenset({"reference", "dangling", "label", "label!", "before", "since", "until"})
PRUNE_FILTERS = frozenset({"dangling", "label", "label!", "until"})


class ImageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One image in a list. created: Unix seconds (0: unknown). size: bytes of the files in its layers.

    dangling: it has no tag, and no other image was built from it here. intermediate: it has no name at all,
    and another image was.
    """

    id: str
    parent: str
    created: float
    names: tuple[str, ...]
    repo_digests: tuple[str, ...]
    labels: dict[str, str]
    size: int
    dangling: bool
    intermediate: bool


def summaries(
    content: LayerStore, entries: Entries, filters: Filters, *, intermediate: bool = False
) -> list[ImageRow]:
    """Return the matching rows, newest first, without damaged images. ImageReferenceError: bad filter."""
    _check_names(filters, LIST_FILTERS)
    rows = _rows(content, entries)
    limits = [
        (name, _created_of(rows, entries, value))
        for name in ("before", "since")
        for value in filters.get(name, ())
    ]
    found = []
    for row in rows:
        if row.intermediate and not intermediate:
            continue
        shown = _matching_names(row, filters.get("reference", ()))
        if shown is None or not _fits(row, filters):
            continue
        if all_hold(limits, row.created):
            found.append(shown)
    return sorted(found, key=lambda row: -row.created)


def _created_of(rows: Sequence[ImageRow], entries: Entries, reference: str) -> float:
    image_id = catalog.id_of(catalog.find(entries, reference))
    return next((row.created for row in rows if row.id == image_id), 0.0)


def all_hold(limits: Sequence[tuple[str, float]], created: float) -> bool:
    """Say whether a time satisfies all (`before` or `since`, time) limits."""
    return all(created < limit if name == "before" else created > limit for name, limit in limits)


def prunable(content: LayerStore, entries: Entries, filters: Filters) -> list[str]:
    """Return the ids that a prune with `filters` removes, children before their parents."""
    _check_names(filters, PRUNE_FILTERS)
    only_dangling = _truth(filters.get("dangling", ("true",)))
    rows = [
        row
        for row in _rows(content, entries)
        if _fits(row, {k: v for k, v in filters.items() if k != "dangling"})
    ]
    chosen = [row for row in rows if not only_dangling or not row.names]
    return [
        row.id for row in sorted(chosen, key=lambda row: (_depth(entries, row.id), row.created), reverse=True)
    ]


class LayerUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the files in layers. total: each layer once; shared: per image id, of shared layers."""

    total: int
    shared: dict[str, int]


def disk_usage(content: LayerStore, entries: Entries) -> int:
    """Return the bytes of all layers that these images use, each layer once."""
    return usage(content, entries).total


def usage(content: LayerStore, entries: Entries) -> LayerUsage:
    """Return the disk usage of these images' layers; damaged images do not count."""
    layers: dict[str, tuple[str, ...]] = {}
    for entry in {catalog.id_of(entry): entry for entry in entries}.values():
        try:
            layers[catalog.id_of(entry)] = read_documents(content, entry)[1].rootfs.diff_ids
        except ImageError:
            continue
    users = Counter(diff_id for diff_ids in layers.values() for diff_id in set(diff_ids))
    sizes = {diff_id: content.unpacked_bytes(diff_id) for diff_id in users}
    shared = {
        image_id: sum(sizes[diff_id] for diff_id in set(diff_ids) if users[diff_id] > 1)
        for image_id, diff_ids in layers.items()
    }
    return LayerUsage(total=sum(sizes.values()), shared=shared)


def timestamp(text: str) -> float:
    """Parse a filter's time: RFC 3339, Unix seconds, or a duration before now (`10m`)."""
    try:
        return times.moment_ns(text) / 1e9
    except MalformedError as error:
        raise ImageReferenceError(
            f"invalid filter 'until={text}': write a time (2026-01-31T00:00:00Z), seconds, or 24h"
        ) from error


def seconds_of(created: str | None) -> float:
    """Return the Unix seconds of an RFC 3339 time; 0 for none, or one that cannot be read."""
    try:
        return times.ns_of(created) / 1e9 if created else 0.0
    except MalformedError:
        return 0.0


# ---- rows -----------------------------------------------------------------------------------------------


def _rows(content: LayerStore, entries: Entries) -> list[ImageRow]:
    by_id: dict[str, list[Descriptor]] = {}
    for entry in entries:
        if not catalog.is_hidden(entry):
            by_id.setdefault(catalog.id_of(entry), []).append(entry)
    parents = catalog.parents(entries)
    bytes_of = functools.cache(content.unpacked_bytes)  # images of one base have its layers
    rows = []
    for image_id, mine in by_id.items():
        try:
            _, config = read_documents(content, mine[0])
        except ImageError:
            continue
        size = sum(map(bytes_of, config.rootfs.diff_ids))
        rows.append(_row(image_id, mine, config, size, has_children=image_id in parents))
    return rows


def _row(
    image_id: str, mine: Sequence[Descriptor], config: ImageConfig, size: int, *, has_children: bool
) -> ImageRow:
    names, digests = catalog.tags(mine), catalog.repo_digests(mine)
    execution = config.config
    return ImageRow(
        id=image_id,
        parent=catalog.parent_of(mine, image_id),
        created=seconds_of(config.created),
        names=names,
        repo_digests=digests,
        labels=dict(execution.labels or {}) if execution else {},
        size=size,
        dangling=not names and not has_children,
        intermediate=not names and not digests and has_children,
    )


def _depth(entries: Entries, image_id: str) -> int:
    depth = 0
    while (image_id := catalog.parent_of(entries, image_id)) and depth < len(entries):
        depth += 1
    return depth


# ---- filters --------------------------------------------------------------------------------------------


def _check_names(filters: Filters, known: frozenset[str]) -> None:
    unknown = sorted(set(filters) - known)
    if unknown:
        raise ImageReferenceError(f"invalid filter '{unknown[0]}'; images know {', '.join(sorted(known))}")


def _fits(row: ImageRow, filters: Filters) -> bool:
    if filters.get("dangling") and not _fits_dangling(row, wanted=_truth(filters["dangling"])):
        return False
    if not all(_has_label(row, value) for value in filters.get("label", ())):
        return False
    if any(_has_label(row, value) for value in filters.get("label!", ())):
        return False
    return all(0 < row.created < timestamp(value) for value in filters.get("until", ()))


def _fits_dangling(row: ImageRow, *, wanted: bool) -> bool:
    """As with docker, an image that has only a digest as its name is both dangling and not."""
    return row.dangling if wanted else bool(row.names or row.repo_digests)


def _has_label(row: ImageRow, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in row.labels and (not equals or row.labels[key] == value)


def _truth(values: Sequence[str]) -> bool:
    try:
        return booleans.of_filter("dangling", values)
    except MalformedError as error:
        raise ImageReferenceError(str(error)) from None


def _matching_names(row: ImageRow, patterns: Sequence[str]) -> ImageRow | None:
    """Return the row with only the names that match a pattern, None if none does. No pattern: the row."""
    if not patterns:
        return row
    names = tuple(name for name in row.names if any(_fits_pattern(name, pattern) for pattern in patterns))
    digests = tuple(
        name for name in row.repo_digests if any(_fits_pattern(name, pattern) for pattern in patterns)
    )
    if not names and not digests:
        return None
    return msgspec.structs.replace(row, names=names, repo_digests=digests)


def _fits_pattern(name: str, pattern: str) -> bool:
    """Match a shell pattern against `repository` or `repository:tag`; `*` does not match a `/`."""
    reference = parse_reference(name)
    for prefix in ("docker.io/library/", "docker.io/"):
        pattern = pattern.removeprefix(prefix)
    return _matches(str(reference), pattern) or _matches(reference.repository, pattern)


def _matches(text: str, pattern: str) -> bool:
    parts, wanted = text.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatch.fnmatchcase(part, want) for part, want in zip(parts, wanted, strict=True)
    )
