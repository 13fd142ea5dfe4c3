"""Overlay mounts, made by the new mount API and returned as detached mounts."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from functools import cache, lru_cache

from runtime.spawn.linux import (
    AT_FDCWD,
    CLONE_NEWNS,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_SYMLINKS,
    MS_PRIVATE,
    MS_REC,
)
from runtime.spawn.mount_copies import clone_mapped_mount
from runtime.spawn.namespaces import in_own_thread
from runtime.spawn.tape import Slot, SlotValue, StepError, Tape

LONGEST_OPTION = 255
"""Bytes that an fsconfig string holds; a longer path is passed as /proc/self/fd/N."""


_open = Tape()
_open.add("open overlay", "fsopen", "overlay", FSOPEN_CLOEXEC)


def make_overlay(layers: Sequence[str], upper: str, work: str) -> int:
    """Return a descriptor of an overlay of `layers`, lowest first, below the writable `upper`.

    upper and work are empty directories on one file system. The caller closes the descriptor. Raises
    StepError, or OSError if a path cannot be opened.
    """
    return _make(layers, {"upper": upper, "work": work})


def make_read_only_overlay(layers: Sequence[str]) -> int:
    """Like make_overlay, read-only, of at least two layers."""
    return _make(layers, {})


def make_mapped_overlay(layers: Sequence[str], upper: str, work: str, user_namespace_fd: int) -> int:
    """Like make_overlay, with the owners of the layers mapped by a user namespace.

    Before Linux 6.15 overlay takes no detached mount as a layer. So each mapped copy is attached over its
    layer, in a temporary mount namespace; the overlay keeps its own copies. Raises StepError.
    """

    def make() -> int:
        _private_mounts.walk({})
        for layer in layers:
            tree = clone_mapped_mount(layer, user_namespace_fd)
            try:
                _attach.walk({"tree": tree, "at": os.fsencode(layer)})
            finally:
                os.close(tree)
        return make_overlay(layers, upper, work)

    return in_own_thread("overlay", make)


_private_mounts = Tape()
_private_mounts.add("new mount namespace", "unshare", CLONE_NEWNS)
_private_mounts.add("cut mount propagation", "mount", 0, "/", 0, MS_REC | MS_PRIVATE, 0)

_attach = Tape()
_attach_flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS
_attach.add("attach a mapped layer", "move_mount", Slot("tree"), "", AT_FDCWD, Slot("at"), _attach_flags)


def _make(layers: Sequence[str], writable: dict[str, str]) -> int:
    with contextlib.ExitStack() as held:
        fs = _open.walk({})[0]
        held.callback(os.close, fs)
        slots: dict[str, SlotValue] = {"fs": fs}
        slots |= {name: _option(path, held) for name, path in writable.items()}
        if appends_layers():
            for number, layer in enumerate(reversed(layers)):
                slots[f"lower{number}"] = _option(layer, held)
            return _tape(len(layers), *writable).walk(slots)[-1]
        slots["lower"] = b":".join(_descriptor(layer, held) for layer in reversed(layers))
        return _tape(None, *writable).walk(slots)[-1]


@cache
def appends_layers() -> bool:
    """Return whether the kernel takes one layer at a time (`lowerdir+`, Linux 6.8).

    Older kernels take all layers in one option of 255 bytes: a dozen, as /proc/self/fd/N.
    """
    asking = Tape()
    asking.add("append a layer", "fsconfig", Slot("fs"), FSCONFIG_SET_STRING, "lowerdir+", "/", 0)
    (fs,) = _open.walk({})
    try:
        asking.walk({"fs": fs})
    except StepError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    finally:
        os.close(fs)
    return True


@lru_cache(maxsize=256)
def _tape(lowers: int | None, *writable: str) -> Tape:
    tape, fs = Tape(), Slot("fs")
    if lowers is None:
        keys = [("lowerdir", "lower")]
    else:
        keys = [("lowerdir+", f"lower{number}") for number in range(lowers)]
    for key, slot in (*keys, *((f"{name}dir", name) for name in writable)):
        tape.add(f"overlay {slot}", "fsconfig", fs, FSCONFIG_SET_STRING, key, Slot(slot), 0)
    tape.add("create overlay", "fsconfig", fs, FSCONFIG_CMD_CREATE, 0, 0, 0)
    tape.add("mount overlay", "fsmount", fs, FSMOUNT_CLOEXEC, 0)
    return tape


def _option(path: str, held: contextlib.ExitStack) -> bytes:
    data = os.fsencode(path)
    return data if len(data) <= LONGEST_OPTION else _descriptor(path, held)


def _descriptor(path: str, held: contextlib.ExitStack) -> bytes:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, fd)
    return b"/proc/self/fd/%d" % fd
