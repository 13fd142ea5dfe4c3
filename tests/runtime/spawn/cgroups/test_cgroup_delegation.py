"""Delegated cgroups: controllers are never taken back from others, and a unit's own part is ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.spawn.cgroups import CgroupError, CgroupManager, Layout, Limits, find_delegated, find_layout
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


@pytest.fixture
def unit() -> Iterator[Path]:
    """The cgroup of a unit as systemd makes it with Delegate=yes and DelegateSubgroup=main."""
    tree = find_layout().v2
    if tree is None:
        pytest.skip("needs a v2 tree")
    path = Path(tree, "nncgslice/unit")
    (path / "main").mkdir(parents=True)
    os.setxattr(path, "user.delegate", b"1")
    yield path
    remove(str(path.parent))


def test_the_cgroup_of_a_unit_is_found_where_it_is_delegated(unit: Path) -> None:
    tree = str(unit.parents[1])
    layout = Layout(v1={}, v2=tree)
    (unit / "main/deeper").mkdir()
    found = {
        "0::/nncgslice/unit/main\n": "/nncgslice/unit",
        "0::/nncgslice/unit\n": "",  # our process is in the way of its controllers
        "0::/nncgslice/unit/main/deeper\n": "",  # somebody else's
        "0::/nncgslice\n": "",
        "0::/\n": "",
    }
    assert {own: find_delegated(layout, own) for own in found} == found
    assert find_delegated(Layout(v1={"cpu": "/sys/fs/cgroup/cpu"}, v2=tree), next(iter(found))) == ""
    os.removexattr(unit, "user.delegate")
    os.setxattr(unit, "trusted.delegate", b"1")
    assert find_delegated(layout, next(iter(found))) == "/nncgslice/unit"


def test_nothing_above_a_delegated_cgroup_is_touched(unit: Path) -> None:
    root = v2_root()
    (root / "cgroup.subtree_control").write_text("+pids +memory")
    (unit.parent / "cgroup.subtree_control").write_text("+pids")
    manager = CgroupManager("nncgtest", parent="nncgslice/unit", delegated=True)
    group = manager.create("one", Limits(pids_max=3))
    assert group.v2_dir is not None and group.v2_dir.startswith(f"{unit}/nncgtest-")
    assert (Path(group.v2_dir) / "pids.max").read_text() == "3\n"
    with pytest.raises(CgroupError, match=r"\btwo; .*\bmemory\b"):
        manager.create("two", Limits(memory_max=1 << 20))
    assert (unit.parent / "cgroup.subtree_control").read_text() == "pids\n"
    group.remove()
    manager.close()


def test_engines_of_a_unit_have_their_cgroups_in_it(unit: Path) -> None:
    v2_root()
    if find_layout().v1:
        pytest.skip("on v1 nothing is delegated")
    script = f"""
import os
from pathlib import Path
Path("{unit}/main/cgroup.procs").write_text("0")
from runtime.engine import process_resources
process_resources.enter()
group = process_resources.cgroups().create("one")
print(os.getpid(), group.v2_dir, flush=True)
group.remove()
process_resources.leave()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pid, made = done.stdout.split()
    assert made.startswith(f"{unit}/nn-{pid}-") and made.endswith("/one")
    assert not list(unit.parents[1].glob(f"nn-{pid}-*")), "and nothing at the top"
