"""Make an image of a container's writable layer, without what the runtime itself put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from runtime.engine.service.images.image_config import child_document, read_document, write_document
from runtime.engine.service.model.request import Config
from runtime.image.layers.layer_store import Layer
from runtime.image.layers.layer_view import LayerView
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore
from runtime.image.store.pins import Holder

MOUNT_POINTS = frozenset({"dev", "proc", "sys"})
MOUNTED_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})
"""Mount points of every container, which may therefore exist in its layer."""


def add_upper(store: ImageStore, upper: Path, below: LayerView) -> Layer | None:
    """Store a container's writable layer; None when nothing was changed. Within store.adding()."""
    if not upper.is_dir():
        return None
    return store.content.add_changes(upper, leftovers(upper, below))


def snapshot(
    store: ImageStore,
    parent: Image,
    upper: Path,
    config: Config,
    *,
    names: tuple[str, ...] = (),
    created_by: str = "",
    author: str = "",
    comment: str = "",
    step: str = "",
    holder: Holder | None = None,
) -> Image:
    """Make an image of `parent` and the layer at `upper`; step and holder as register() has them.

    Raises ImageError.
    """
    with store.adding():
        layer = add_upper(store, upper, LayerView(parent.layer_dirs))
        document = child_document(
            read_document(store.content.read_blob(parent.id)),
            config,
            diff_id=layer.diff_id if layer else "",
            created_by=created_by,
            author=author,
            comment=comment,
        )
        layers = (*parent.layers, layer) if layer else parent.layers
        return store.register(
            names, layers, write_document(document), parent=parent.id, step=step, holder=holder
        )


def leftovers(upper: Path, below: LayerView) -> Callable[[str, os.stat_result], bool]:
    """Return a predicate: which paths of a writable layer the runtime made, and not the program."""
    etc = _only_mounted_files(upper, below)

    def skip(path: str, status: os.stat_result) -> bool:
        if path.partition("/")[0] in MOUNT_POINTS:
            return "/" in path or stat.S_ISDIR(status.st_mode)
        if path in MOUNTED_FILES:
            return stat.S_ISREG(status.st_mode) and status.st_size == 0
        return etc and path == "etc"

    return skip


def _only_mounted_files(upper: Path, below: LayerView) -> bool:
    """Say whether /etc is in the layer only because of its mounted files."""
    etc = upper / "etc"
    if not etc.is_dir() or etc.is_symlink():
        return False
    if not {f"etc/{path.name}" for path in etc.iterdir()} <= MOUNTED_FILES:
        return False
    lower = below.find("etc", follow=False)
    here = etc.lstat()
    if lower is None or not lower.is_directory:
        return stat.S_IMODE(here.st_mode) == 0o755
    then = lower.status
    return (then.st_mode, then.st_uid, then.st_gid) == (here.st_mode, here.st_uid, here.st_gid)
