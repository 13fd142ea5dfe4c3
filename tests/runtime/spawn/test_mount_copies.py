"""A mount of a part of a directory, whose owner may change it meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.spawn.linux import MOUNT_ATTR_RDONLY
from runtime.spawn.mount_copies import clone_mount, clone_mount_beneath
from runtime.spawn.tape import StepError
from tests.descriptors import open_descriptors

pytestmark = pytest.mark.root


def test_a_part_is_taken_and_nothing_leads_out_of_its_whole(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    (whole / "a/b").mkdir(parents=True)
    (whole / "a/b/file").touch()
    (whole / "within").symlink_to("a/b")
    (whole / "host").symlink_to("/etc")
    (whole / "up").symlink_to("../..")
    (whole / "magic").symlink_to("/proc/self/root/etc")
    before = open_descriptors()
    for part in ("a/b", "within"):
        tree = clone_mount_beneath(str(whole), part, MOUNT_ATTR_RDONLY)
        assert [path.name for path in Path(f"/proc/self/fd/{tree}").iterdir()] == ["file"]
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("new", dir_fd=tree)
        os.close(tree)
    for part in ("host", "up", "magic", "..", "a/../../..", "/etc"):
        with pytest.raises(StepError, match="EXDEV"):
            clone_mount_beneath(str(whole), part)
    with pytest.raises(StepError, match="ENOENT"):
        clone_mount_beneath(str(whole), "nowhere")
    assert open_descriptors() <= before


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Path]:
    """A directory with a mount at `sub`."""
    (tmp_path / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "sub"], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path / "sub"], check=True)


@pytest.mark.parametrize(("shallow", "below"), [(False, False), (True, True)])
def test_read_only_reaches_what_is_mounted_below_unless_asked_otherwise(
    nested: Path, shallow: bool, below: bool
) -> None:
    tree = clone_mount(str(nested), MOUNT_ATTR_RDONLY, shallow=shallow)
    try:
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("new", dir_fd=tree)
        sub = os.open("sub", os.O_RDONLY, dir_fd=tree)
        assert (os.fstatvfs(sub).f_flag & os.ST_RDONLY == 0) is below
        os.close(sub)
    finally:
        os.close(tree)
