"""Write the kernel's initramfs format ("newc" cpio, Documentation/driver-api/early-userspace)."""

from __future__ import annotations

import stat
from collections.abc import Iterable

import msgspec

TRAILER = "TRAILER!!!"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One member. mode: type and permission bits; device: (major, minor) of a device node."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def file(name: str, data: bytes, mode: int = 0o644) -> Entry:
    """Return a regular file."""
    return Entry(name=name, mode=stat.S_IFREG | mode, data=data)


def directory(name: str) -> Entry:
    """Return a directory."""
    return Entry(name=name, mode=stat.S_IFDIR | 0o755)


def character_device(name: str, major: int, minor: int) -> Entry:
    """Return a character device: PID 1 needs /dev/console before it mounts anything."""
    return Entry(name=name, mode=stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive, with owner root and time 0, so that equal entries give equal bytes."""
    out = bytearray()
    for inode, entry in enumerate([*entries, Entry(name=TRAILER, mode=0)], 1):
        name = entry.name.encode() + b"\0"
        fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        out += b"070701" + b"".join(b"%08x" % value for value in fields) + name
        out += b"\0" * (-len(out) % 4) + entry.data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)
