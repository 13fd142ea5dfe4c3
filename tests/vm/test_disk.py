import re
import shutil
import subprocess

import pytest

from vm.command import cached, run
from vm.disk import build_base, copy_sparse, data_template, disk_bytes, overlay_template, takes_direct_io
from vm.errors import VmError, VmUnavailableError

needs_tools = pytest.mark.skipif(
    shutil.which("mke2fs") is None or shutil.which("qemu-img") is None,
    reason="needs e2fsprogs and qemu-utils",
)


@needs_tools
def test_base_holds_the_tree_and_is_built_once(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/hello").write_text("there")
    base = build_base(tmp_path / "root", "sha256:abc", tmp_path / "cache")
    said = subprocess.run(["debugfs", "-R", "cat /hello", base], capture_output=True, check=True).stdout
    assert said == b"there"
    stamp = base.stat().st_mtime_ns
    assert build_base(tmp_path / "root", "sha256:abc", tmp_path / "cache").stat().st_mtime_ns == stamp


@needs_tools
def test_overlay_is_empty_and_names_its_base(tmp_path):
    base = data_template(8, tmp_path)
    overlay = overlay_template(base)
    assert str(base).encode() in overlay.read_bytes()
    assert disk_bytes(overlay) < 1 << 20


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(VmError, match=re.escape(str(tmp_path / "nonesuch"))):
        build_base(tmp_path / "nonesuch", "1", tmp_path)


def test_copies_keep_data_and_holes(tmp_path):
    source = tmp_path / "source"
    with source.open("wb") as f:
        f.write(b"start")
        f.seek(8 << 20)
        f.write(b"middle")
        f.truncate(64 << 20)
    copy_sparse(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert disk_bytes(tmp_path / "copy") < 1 << 20


def test_a_copy_never_replaces_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(VmError, match="File exists"):
        copy_sparse(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"b"


def test_a_missing_directory_is_named(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(VmError, match=f"{tmp_path}/nonesuch/x: No such file or directory"):
        copy_sparse(tmp_path / "x", tmp_path / "nonesuch/x")


def test_direct_io_probe_leaves_nothing(tmp_path):
    assert takes_direct_io(tmp_path) in (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_build_leaves_no_target_and_is_tried_again(tmp_path):
    def fail(path):
        path.write_text("half")
        raise VmError("broken")

    with pytest.raises(VmError, match="broken"):
        cached(tmp_path / "thing", fail)
    assert not (tmp_path / "thing").exists()
    assert cached(tmp_path / "thing", lambda path: path.write_text("whole")).read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".build")] == []


def test_a_build_that_was_killed_is_cleared_by_the_next(tmp_path):
    (tmp_path / ".build-thing-old").mkdir()
    cached(tmp_path / "thing", lambda path: path.write_text("whole"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock-thing", "thing"]


def test_a_missing_tool_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nonesuch")
    with pytest.raises(VmUnavailableError, match="qemu-utils"):
        run(["qemu-img", "--version"], "make an overlay")


def test_a_failing_tool_is_quoted():
    with pytest.raises(VmError, match=r"^look: ls\b.*\b2: .*nonesuch"):
        run(["ls", "/nonesuch"], "look")
