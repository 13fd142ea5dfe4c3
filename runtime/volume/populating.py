"""Open what a new volume is filled from and into: the image's directory, and the volume's."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.spawn.linux import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from runtime.spawn.overlay import make_read_only_overlay
from runtime.spawn.tape import Slot, StepError, Tape

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_IN_IMAGE = struct.pack("<QQQ", _FLAGS, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
_IN_VOLUME = struct.pack("<QQQ", _FLAGS, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)


@contextlib.contextmanager
def content_of(layers: Sequence[Path], path: str) -> Iterator[int | None]:
    """Open the directory `path` of an image (layers: lowest first); None if it is not a directory.

    Symbolic links on the way stay inside the image.
    """
    with contextlib.ExitStack() as held:
        if len(layers) == 1:
            root = os.open(layers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            root = make_read_only_overlay([str(layer) for layer in layers])
        held.callback(os.close, root)
        found = _open_beneath(root, path.strip("/") or ".", _IN_IMAGE)
        if found is not None:
            held.callback(os.close, found)
        yield found


@contextlib.contextmanager
def part_of(directory: Path, part: str) -> Iterator[int | None]:
    """Open the directory `part` of a volume, "" for all of it; None if it is not a directory.

    Neither a link nor `..` leads out of the volume, whatever a container changes meanwhile.
    """
    with contextlib.ExitStack() as held:
        whole = os.open(directory, _FLAGS)
        held.callback(os.close, whole)
        found = _open_beneath(whole, part or ".", _IN_VOLUME)
        if found is not None:
            held.callback(os.close, found)
        yield found


def _open_beneath(root: int, path: str, how: bytes) -> int | None:
    tape = Tape()
    tape.add(f"open {path}", "openat2", Slot("root"), path, how, len(how))
    try:
        return tape.walk({"root": root})[0]
    except StepError as error:
        if error.errno in _ABSENT:
            return None
        raise
