"""Mount a volume by its options type, device and o, as in mount(8)."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from runtime.oci.options import parse_options
from runtime.spawn.linux import MNT_DETACH, MS_BIND, MS_REC, MS_REMOUNT
from runtime.spawn.tape import StepError, Tape
from runtime.volume.errors import BadVolumeError, VolumeError

_KNOWN = frozenset({"type", "device", "o", "size"})
_MOUNTS = Path("/proc/thread-self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_REMOTE = ("nfs", "nfs4", "cifs")


def check_options(options: Mapping[str, str]) -> None:
    """Refuse options that the driver `local` does not have, in docker's words. Raises BadVolumeError."""
    for name in options:
        if name not in _KNOWN:
            raise BadVolumeError(f'invalid option: "{name}"')
    if "size" in options:
        raise BadVolumeError(
            "quota size requested but no quota support; use a volume of type tmpfs with o=size=…"
        )
    for name in ("type", "device", "o"):
        if name in options and not {"type", "device"} <= options.keys():
            missing = "device" if "device" not in options else "type"
            raise BadVolumeError(f'missing required option: "{missing}"')


def wants_mount(options: Mapping[str, str]) -> bool:
    """Say whether a volume must be mounted."""
    return "device" in options


def mounts_below(directory: Path) -> list[Path]:
    """Return the mounts on and below a directory, in the order of mounting.

    Path.is_mount() does not detect a bind of the same file system.
    """
    found = []
    for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
        point = Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]))
        if point.is_relative_to(directory.resolve()):
            found.append(point)
    return found


def mount(name: str, options: Mapping[str, str], target: Path) -> None:
    """Mount a volume on `target` by its options. Raises VolumeError."""
    kind, device = options.get("type", ""), options.get("device", "")
    words = tuple(word for word in options.get("o", "").split(",") if word)
    parsed = parse_options(words)
    tape = Tape()
    where = os.fsencode(target)
    if parsed.bind:
        recursive = MS_REC if parsed.recursive else 0
        tape.add("bind", "mount", device, where, "none", MS_BIND | recursive, 0)
        if parsed.flags:
            tape.add("remount", "mount", 0, where, 0, MS_REMOUNT | MS_BIND | parsed.flags, 0)
    else:
        data = _resolved(parsed.data) if kind in _REMOTE else parsed.data
        tape.add("mount", "mount", device, where, kind, parsed.flags, data or 0)
    if parsed.propagation:
        tape.add("set propagation", "mount", 0, where, 0, parsed.propagation, 0)
    try:
        tape.walk({})
    except StepError as error:
        unmount(target)
        raise VolumeError(
            f"failed to mount local volume {name}: mount {device}:{target}, data: {options.get('o', '')}: "
            f"{os.strerror(error.errno or 0).lower()}; see its options (volume inspect)"
        ) from error


def unmount(target: Path) -> None:
    """Unmount; without a mount do nothing. Raises VolumeError."""
    tape = Tape()
    gone = (errno.EINVAL, errno.ENOENT)
    tape.add("unmount", "umount2", os.fsencode(target), MNT_DETACH, forgive=gone)
    try:
        tape.walk({})
    except StepError as error:
        raise VolumeError(f"unmount volume {target}: {error}; see who uses it (findmnt)") from error


def _resolved(data: str) -> str:
    """Replace a server's name by its address: the kernel does not resolve names."""
    words = []
    for word in data.split(","):
        key, equals, value = word.partition("=")
        if key == "addr" and equals:
            try:
                value = str(socket.getaddrinfo(value, None)[0][4][0])
            except OSError as error:
                raise VolumeError(
                    f"error resolving passed in network volume address {value}: {error}"
                ) from error
        words.append(f"{key}{equals}{value}")
    return ",".join(words)
