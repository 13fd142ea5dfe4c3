"""Overlay mounts by the new mount API, as descriptors attached nowhere yet."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from functools import lru_cache

from runtime.spawn.linux import (
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
)
from runtime.spawn.tape import Slot, SlotValue, Tape

LONGEST_OPTION = 255
"""Bytes of a path that an fsconfig string holds; a longer one is given as /proc/self/fd/N."""


def make_overlay(layers: Sequence[str], upper: str, work: str) -> int:
    """Return a descriptor of an overlay of `layers`, lowest first, below the writable `upper`.

    upper and work are empty directories on one file system. The caller closes the descriptor. Raises
    StepError, or OSError when a path cannot be opened.
    """
    with contextlib.ExitStack() as held:
        slots: dict[str, SlotValue] = {"upper": _option(upper, held), "work": _option(work, held)}
        for number, layer in enumerate(reversed(layers)):
            slots[f"lower{number}"] = _option(layer, held)
        results = _tape(len(layers)).walk(slots)
    os.close(results[0])
    return results[-1]


@lru_cache(maxsize=256)
def _tape(lowers: int) -> Tape:
    tape = Tape()
    fs = tape.add("open overlay", "fsopen", "overlay", FSOPEN_CLOEXEC)
    keys = [("lowerdir+", f"lower{number}") for number in range(lowers)]
    for key, slot in (*keys, ("upperdir", "upper"), ("workdir", "work")):
        tape.add(f"overlay {slot}", "fsconfig", fs, FSCONFIG_SET_STRING, key, Slot(slot), 0)
    tape.add("create overlay", "fsconfig", fs, FSCONFIG_CMD_CREATE, 0, 0, 0)
    tape.add("mount overlay", "fsmount", fs, FSMOUNT_CLOEXEC, 0)
    return tape


def _option(path: str, held: contextlib.ExitStack) -> bytes:
    data = os.fsencode(path)
    if len(data) <= LONGEST_OPTION:
        return data
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, fd)
    return b"/proc/self/fd/%d" % fd
