"""A process that dies in the middle of filling a store leaves one that works, without half an image."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.image.store.image_store import ImageStore
from tests.paths import REPOSITORY
from tests.runtime.tars import directory, entry, tar

pytestmark = pytest.mark.root

BASE = tar(directory("d"), entry("d/a", data=b"1" * 3000))
CALLS = (
    "os.fsync", "os.setxattr", "os.mkdir", "os.chown", "os.utime", "os.open", "pathlib.Path.replace",
    "pathlib.Path.rename", "pathlib.Path.unlink", "shutil.rmtree",
)  # fmt: skip

SCRIPT = """
import io, os, pathlib, shutil, sys
from tests.runtime.tars import directory, entry, tar
from runtime.image.store.image_store import ImageStore
module, _, name = sys.argv[1].rpartition(".")
owner = {"os": os, "shutil": shutil, "pathlib.Path": pathlib.Path}[module]
real, left = getattr(owner, name), [int(sys.argv[2])]
def dying(*args, **kwargs):
    left[0] -= 1
    if left[0] < 0:
        os._exit(9)
    return real(*args, **kwargs)
setattr(owner, name, dying)
store = ImageStore(pathlib.Path(sys.argv[3]))
layers = [tar(directory("d"), entry("d/a", data=b"1" * 3000)),
          tar(entry("d/.wh.a"), entry("new", data=b"2", pax_headers={"SCHILY.xattr.user.x": "y"}))]
store.create("new", [io.BytesIO(layer) for layer in layers])
store.remove("old")
"""


def dies(call: str, after: int, root: Path) -> bool:
    line = [sys.executable, "-c", SCRIPT, call, str(after), str(root)]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 9), done.stderr
    return done.returncode == 9


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
