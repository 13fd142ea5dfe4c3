"""Handing controllers of cgroup v2 down: only while no process is in the way, and never taken back."""

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


def v2_root() -> Path:
    layout = find_layout()
    if layout.v2 is None or "pids" not in layout.v2_controllers:
        pytest.skip(f"needs controllers on v2; this machine is {layout.kind}")
    return Path(layout.v2)


@pytest.fixture
def parent() -> Iterator[Path]:
    """A delegated cgroup with a process in it."""
    root = v2_root()
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


@pytest.mark.parametrize("where", ["", f"{PARENT}/deep"])
def test_limits_of_others_stay_when_we_leave(where: str) -> None:
    root = v2_root()
    manager = CgroupManager("nncgtest", parent=where)
    other = root / where / "nncgother"
    other.mkdir()
    try:
        (other / "pids.max").write_text("7\n")
        (other / "cpu.max").write_text("50000 100000\n")
        manager.close()
        assert (other / "pids.max").read_text() == "7\n"
        assert (other / "cpu.max").read_text() == "50000 100000\n", "systemd's units have such limits"
    finally:
        other.rmdir()
        for path in (root / PARENT / "deep", root / PARENT) if where else ():
            path.rmdir()
