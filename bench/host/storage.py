"""Checks of the disk: free space, file system, kind of device."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.host import fingerprint as facts
from bench.host.check import Check, Topic, chosen, text

MIB = 1 << 20
NEEDED = 3 << 30
"""Bytes for the image, its forms for containers and VMs, and the writable layers of a run."""

NO_LAYERS = ("overlay", "nfs", "fuse", "vfat", "9p", "virtiofs")
"""File systems on which an overlay's writable layer cannot, or should not, be."""

IN_MEMORY = ("tmpfs", "ramfs")
LOCAL = "put the cache on a local disk with NINETYNINE_CACHE"


def checks(storage: Path, root: Path) -> Iterator[Check]:
    """Yield all checks of this module. storage: the directory of images and writable layers."""
    yield room(storage)
    yield filesystem(storage, root)
    yield device(storage, root)


def room(storage: Path) -> Check:
    """Check the free space for images."""
    about = Topic("disk space", "disk, vm: with too little, the image or a VM's disk cannot be made")
    # Path.exists raises where a parent may not be entered; what cannot be seen is not there for us.
    place = next((path for path in (storage, *storage.parents) if os.path.exists(path)), Path("/"))  # noqa: PTH110
    free = shutil.disk_usage(place).free
    found = f"{free // MIB} MiB free below {storage}"
    if free >= NEEDED:
        return about("ok", found)
    return about("warn", found, f"free {NEEDED // MIB} MiB, or put the cache elsewhere with NINETYNINE_CACHE")


def filesystem(storage: Path, root: Path) -> Check:
    """Check whether the file system can hold overlay layers, and whether it is on a disk."""
    about = Topic(
        "file system",
        "disk, startup: an overlay's layers need a suitable file system, on a real disk to be measured",
    )
    kind = facts.filesystem(storage, root)
    if kind == "unknown":
        return about("unknown", "no mount table")
    known = re.search(r"\boverlay$", text(root / "proc/filesystems"), re.MULTILINE)
    if kind.startswith(NO_LAYERS):
        return about("warn", f"{kind}: an overlay's writable layer cannot be on it", LOCAL)
    if kind.startswith(IN_MEMORY):
        return about("warn", f"{kind}: memory, not a disk", LOCAL)
    overlay = "overlay is in the kernel" if known else "overlay is not loaded (yet)"
    return about("ok", f"{kind}; {overlay}")


def device(storage: Path, root: Path) -> Check:
    """Check the kind of disk: on a rotating one every figure depends on earlier seeks."""
    about = Topic("disk device", "disk: on a rotating disk, latencies depend on the position of the heads")
    source = re.search(r"\(/dev/([^)]+)\)", facts.filesystem(storage, root))
    queue = _queue(source[1], root) if source else None
    if source is None or queue is None:
        return about("unknown", "not directly on a block device (a device mapper, a network, or memory)")
    turns = text(queue / "rotational") == "1"
    kind = "nvme" if source[1].startswith("nvme") else "virtual" if source[1].startswith("vd") else "disk"
    scheduler = chosen(text(queue / "scheduler")) or "unknown"
    found = f"{source[1]}: {kind}, {'rotating, it says' if turns else 'solid state'}, scheduler {scheduler}"
    if not turns or kind == "virtual":  # a virtual disk's flag says nothing about the disk below
        return about("ok", found)
    return about("warn", found, "put the cache on a solid state disk with NINETYNINE_CACHE")


def _queue(name: str, root: Path) -> Path | None:
    """Return the queue of a disk, or of the disk of a partition (`sda1`, `nvme0n1p2`)."""
    whole = re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", name)
    for disk in (name, whole):
        if (root / "sys/block" / disk / "queue").is_dir():
            return root / "sys/block" / disk / "queue"
    return None
