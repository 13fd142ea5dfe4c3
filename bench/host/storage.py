"""The disk and the file system under test: room, kind, and whether containers' layers can lie on it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.host import fingerprint as facts
from bench.host.check import Check, chosen, text

MIB = 1 << 20
NEEDED = 3 << 30
"""Bytes for the image, its forms for containers and VMs, and the writable layers of a run."""

NO_LAYERS = ("overlay", "nfs", "fuse", "vfat", "9p", "virtiofs")
"""Kinds of file system that an overlay's writable layer cannot, or should not, lie on."""

IN_MEMORY = ("tmpfs", "ramfs")


def checks(storage: Path, root: Path) -> Iterator[Check]:
    """All checks of this module. storage: where images and writable layers lie."""
    yield room(storage)
    yield filesystem(storage, root)
    yield device(storage, root)


def room(storage: Path) -> Check:
    """Free space where images lie."""
    effect = "disk, vm: without it the image or a VM's disk cannot be made"
    place = next((path for path in (storage, *storage.parents) if path.exists()), Path("/"))
    free = shutil.disk_usage(place).free
    found = f"{free // MIB} MiB free below {storage}"
    if free >= NEEDED:
        return Check(name="disk space", state="ok", found=found, effect=effect)
    fix = f"free {NEEDED // MIB} MiB, or put the cache elsewhere with NINETYNINE_CACHE"
    return Check(name="disk space", state="warn", found=found, effect=effect, fix=fix)


def filesystem(storage: Path, root: Path) -> Check:
    """Whether overlay layers can lie on the file system, and whether that is a disk at all."""
    effect = (
        "disk, startup: an overlay needs a file system below that can carry one, and a real one to measure"
    )
    kind = facts.filesystem(storage, root)
    if kind == "unknown":
        return Check(name="file system", state="unknown", found="no mount table", effect=effect)
    known = re.search(r"\boverlay$", text(root / "proc/filesystems"), re.MULTILINE)
    if kind.startswith(NO_LAYERS):
        found = f"{kind}: an overlay's writable layer cannot lie on it"
        fix = "put the cache on a local disk with NINETYNINE_CACHE"
        return Check(name="file system", state="warn", found=found, effect=effect, fix=fix)
    if kind.startswith(IN_MEMORY):
        found, fix = f"{kind}: memory, not a disk", "put the cache on a local disk with NINETYNINE_CACHE"
        return Check(name="file system", state="warn", found=found, effect=effect, fix=fix)
    overlay = "overlay is in the kernel" if known else "overlay is not loaded (yet)"
    return Check(name="file system", state="ok", found=f"{kind}; {overlay}", effect=effect)


def device(storage: Path, root: Path) -> Check:
    """What kind of disk it is: one that turns has the seeks of the last user in every figure."""
    effect = "disk: on a disk that turns, latencies follow where the heads were"
    source = re.search(r"\(/dev/([^)]+)\)", facts.filesystem(storage, root))
    queue = _queue(source[1], root) if source else None
    if source is None or queue is None:
        found = "no block device of its own (a device mapper, a network, or memory)"
        return Check(name="disk device", state="unknown", found=found, effect=effect)
    turns = text(queue / "rotational") == "1"
    kind = "nvme" if source[1].startswith("nvme") else "virtual" if source[1].startswith("vd") else "disk"
    scheduler = chosen(text(queue / "scheduler")) or "unknown"
    found = f"{source[1]}: {kind}, {'says it turns' if turns else 'solid state'}, scheduler {scheduler}"
    if not turns or kind == "virtual":  # a virtual disk's flag says nothing of what is below
        return Check(name="disk device", state="ok", found=found, effect=effect)
    fix = "put the cache on a solid state disk with NINETYNINE_CACHE"
    return Check(name="disk device", state="warn", found=found, effect=effect, fix=fix)


def _queue(name: str, root: Path) -> Path | None:
    """The queue of a disk, or of the disk a partition (`sda1`, `nvme0n1p2`) is on."""
    whole = re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", name)
    for disk in (name, whole):
        if (root / "sys/block" / disk / "queue").is_dir():
            return root / "sys/block" / disk / "queue"
    return None
