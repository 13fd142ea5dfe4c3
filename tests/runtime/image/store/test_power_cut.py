"""A process that dies in the middle of filling a store leaves one that works, without half an image."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import traceback
from pathlib import Path
from typing import Any

import pytest

from runtime.image.store.image_store import ImageStore
from tests.runtime.tars import directory, entry, tar

pytestmark = pytest.mark.root

BASE = tar(directory("d"), entry("d/a", data=b"1" * 3000))
CALLS = (
    "os.fsync", "os.setxattr", "os.mkdir", "os.chown", "os.utime", "os.open", "pathlib.Path.replace",
    "pathlib.Path.rename", "pathlib.Path.unlink", "shutil.rmtree",
)  # fmt: skip
DEAD = 9


def dies(call: str, after: int, root: Path) -> bool:
    """Fill a store in a process that ends at one of these calls; whether it came so far."""
    child = os.fork()
    if child == 0:
        try:
            die_at(call, after)
            fill(root)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, DEAD)
    return status == DEAD


def die_at(call: str, after: int) -> None:
    module, _, name = call.rpartition(".")
    owner = {"os": os, "shutil": shutil, "pathlib.Path": Path}[module]
    real, left = getattr(owner, name), itertools.count(after, -1)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if next(left) <= 0:
            os._exit(DEAD)
        return real(*args, **kwargs)

    setattr(owner, name, dying)


def fill(root: Path) -> None:
    store = ImageStore(root)
    second = tar(entry("d/.wh.a"), entry("new", data=b"2", pax_headers={"SCHILY.xattr.user.x": "y"}))
    store.create("new", [io.BytesIO(layer) for layer in (BASE, second)])
    store.remove("old")


@pytest.mark.parametrize("call", CALLS)
def test_a_death_at_any_call_leaves_a_store_that_works(call: str, tmp_path: Path) -> None:
    deaths = 0
    for after in (0, 1, 3, 6):
        root = tmp_path / str(after)
        store = ImageStore(root)
        store.create("old", [io.BytesIO(tar(entry("old", data=b"3")))])
        deaths += dies(call, after, root)
        again = ImageStore(root)
        assert not list((root / "tmp").iterdir())
        names = [image.reference for image in again.list()]
        assert names in (["old:latest"], ["new:latest", "old:latest"], ["new:latest"])
        for name in names:
            again.verify(name)
        again.create("after", [io.BytesIO(BASE)])
        again.prune()
        for image in again.list():
            again.verify(image.reference)
        kept = {path.name for path in (root / "layers").iterdir()}
        assert kept == {layer.diff_id[7:] for image in again.list() for layer in image.layers}
    assert deaths
