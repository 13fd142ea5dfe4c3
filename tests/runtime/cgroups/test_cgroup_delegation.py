"""The rule of cgroup v2 that a cgroup hands controllers down only while no process is in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.spawn.cgroups import CgroupError, CgroupManager, Limits, find_layout
from runtime.spawn.cgroups.files import remove

pytestmark = pytest.mark.root

PARENT = "nncgparent"


@pytest.fixture
def parent() -> Iterator[Path]:
    """A delegated cgroup with a process in it."""
    layout = find_layout()
    if layout.v2 is None or "pids" not in layout.v2_controllers:
        pytest.skip(f"needs controllers on v2; this machine is {layout.kind}")
    root = Path(layout.v2)
    (root / "cgroup.subtree_control").write_text("+pids +memory")
    path = root / PARENT
    path.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (path / "cgroup.procs").write_text(str(process.pid))
        yield path
    remove(str(path))


def test_a_process_in_the_way_is_named_and_left_where_it_is(parent: Path) -> None:
    before = (parent / "cgroup.procs").read_text()
    with pytest.raises(CgroupError, match=r"EBUSY.*evacuate=True"):
        CgroupManager("nncgtest", parent=PARENT)
    assert (parent / "cgroup.procs").read_text() == before
    assert not list(parent.glob("nncgtest-*"))


def test_evacuate_moves_it_aside(parent: Path) -> None:
    manager = CgroupManager("nncgtest", parent=PARENT, evacuate=True)
    group = manager.create("one", Limits(pids_max=3))
    assert Path(group.v2_dir or "", "pids.max").read_text() == "3\n"
    assert (parent / "cgroup.procs").read_text() == ""
    group.remove()
    manager.close()
    assert (parent / "cgroup.subtree_control").read_text().strip() == ""
