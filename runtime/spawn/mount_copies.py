"""Detached copies of the host's mounts, to be attached in a container: the sources of bind mounts."""

from __future__ import annotations

import os
import struct
from functools import lru_cache

from runtime.spawn.linux import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    MOUNT_ATTR_IDMAP,
    MS_PRIVATE,
    O_CLOEXEC,
    O_DIRECTORY,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
)
from runtime.spawn.tape import Slot, Tape

_ATTR = struct.Struct("<QQQQ")
_BENEATH = struct.pack("<QQQ", O_PATH | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)


def clone_mount(
    path: str,
    attributes: int = 0,
    *,
    recursive: bool = True,
    propagation: int = MS_PRIVATE,
    shallow: bool = False,
) -> int:
    """Return a descriptor of a detached copy of the mount at `path`, with MOUNT_ATTR_* `attributes` set.

    propagation: MS_PRIVATE, MS_SLAVE, or MS_SHARED, with which a copy of a shared mount stays its peer. If
    recursive, all of it applies to the mounts below, too; shallow leaves their attributes alone. The caller
    closes the descriptor. Raises StepError.
    """
    return _tape(attributes, recursive, propagation, shallow).walk({"path": os.fsencode(path)})[0]


def clone_mount_beneath(path: str, part: str, attributes: int = 0, *, recursive: bool = True) -> int:
    """Like clone_mount, for `part` below the directory `path`; no link or `..` may lead out of `path`.

    Changing that directory meanwhile gains nothing. Raises StepError.
    """
    deep = AT_RECURSIVE if recursive else 0
    tape = Tape()
    whole = tape.add("open the directory", "openat", AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
    inner = tape.add(f"open {part} beneath it", "openat2", whole, part, _BENEATH, len(_BENEATH))
    clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | deep
    tree = tape.add("take the mount", "open_tree", inner, "", clone)
    attr = _ATTR.pack(attributes, 0, MS_PRIVATE, 0)
    tape.add("set mount attributes", "mount_setattr", tree, "", AT_EMPTY_PATH | deep, attr, _ATTR.size)
    results = tape.walk({})
    os.close(results[whole])
    os.close(results[inner])
    return results[tree]


def clone_mapped_mount(path: str, user_namespace_fd: int) -> int:
    """Like clone_mount, with owners mapped by a user namespace: 0 on disk is its 0.

    Raises StepError; EINVAL if the file system does not support mapping.
    """
    attr = _ATTR.pack(MOUNT_ATTR_IDMAP, 0, MS_PRIVATE, user_namespace_fd)
    tape = Tape()
    tree = tape.add("take the mount", "open_tree", AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    tape.add(f"map the owners of {path}", "mount_setattr", tree, "", AT_EMPTY_PATH, attr, _ATTR.size)
    return tape.walk({})[0]


@lru_cache(maxsize=64)
def _tape(attributes: int, recursive: bool, propagation: int, shallow: bool) -> Tape:
    deep = AT_RECURSIVE if recursive else 0
    tape = Tape()
    clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | deep
    tree = tape.add("take the mount", "open_tree", AT_FDCWD, Slot("path"), clone)
    attr = _ATTR.pack(0 if shallow else attributes, 0, propagation, 0)
    tape.add("set mount attributes", "mount_setattr", tree, "", AT_EMPTY_PATH | deep, attr, _ATTR.size)
    if shallow:
        own = _ATTR.pack(attributes, 0, 0, 0)
        tape.add("set the mount's own attributes", "mount_setattr", tree, "", AT_EMPTY_PATH, own, _ATTR.size)
    return tape
