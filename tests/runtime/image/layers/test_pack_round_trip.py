"""What goes into a layer comes out of it: property tests over whole trees, and each special kind of file."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.image.errors import ImageError
from runtime.image.layers import metadata
from runtime.image.layers.pack import BlobWriter, tar_pieces
from runtime.image.layers.tree import tree_digest
from tests.runtime.tars import directory, entry, tar, unpack_bytes

pytestmark = pytest.mark.root

LETTERS = st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",))
NAMES = st.text(LETTERS, min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and not name.startswith(".wh.")
)
SECONDS, NANOSECONDS = st.integers(-(2**31), 2**33), st.integers(0, 10**9 - 1)
FILES = st.tuples(st.just("file"), st.binary(max_size=3000), st.integers(0, 0o7777), SECONDS, NANOSECONDS)
LINKS = st.tuples(st.just("link"), NAMES)
TREES = st.recursive(
    FILES | LINKS | st.just(("whiteout",)),
    lambda inner: st.tuples(st.just("dir"), st.dictionaries(NAMES, inner, max_size=4), st.booleans()),
    max_leaves=12,
)


def build(path: Path, tree: tuple) -> None:  # type: ignore[type-arg]
    kind = tree[0]
    if kind == "file":
        path.write_bytes(tree[1])
        os.chown(path, tree[2] * 1000, 7)
        path.chmod(tree[2])
        os.utime(path, ns=(0, tree[3] * 10**9 + tree[4]))
    elif kind == "link":
        path.symlink_to(tree[1])
    elif kind == "whiteout":
        os.mknod(path, stat.S_IFCHR, 0)
    else:
        path.mkdir()
        for name, below in tree[1].items():
            build(path / name, below)
        if tree[2]:
            os.setxattr(path, metadata.OPAQUE_XATTR, b"y")


def packed(source: Path, compression: str = "none") -> bytes:
    target = io.BytesIO()
    writer = BlobWriter(target, compression)  # type: ignore[arg-type]
    for piece in tar_pieces(str(source)):
        writer.write(piece)
    writer.finish()
    return target.getvalue()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(NAMES, TREES, max_size=4))
def test_any_tree_survives_the_round_trip(content: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    base = tmp_path / os.urandom(8).hex()
    base.mkdir()
    build(base / "in", ("dir", content, False))
    once = packed(base / "in")
    unpack_bytes(once, base / "out")
    assert tree_digest(str(base / "out")) == tree_digest(str(base / "in"))
    assert packed(base / "out") == once


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_same_content_gives_the_same_bytes(source: Path, compression: str) -> None:
    (source / "b").write_text("b")
    (source / "a").write_text("a" * 100_000)
    first = packed(source, compression)
    (source / "a").read_text()  # a changed access time does not count
    assert packed(source, compression) == first


def test_special_files_attributes_and_links(source: Path, tmp_path: Path) -> None:
    (source / "f").write_text("x")
    os.link(source / "f", source / "g")
    os.setxattr(source / "f", "user.binary", b"\xff\0=\n")
    os.setxattr(
        source / "f", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000")
    )
    (source / "f").chmod(0o4755)
    os.mkfifo(source / "fifo")
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(source / "disk", stat.S_IFBLK | 0o660, os.makedev(254, 0))
    unpack_bytes(packed(source), tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "f").stat().st_ino == (out / "g").stat().st_ino
    assert os.getxattr(out / "f", "user.binary") == b"\xff\0=\n"
    assert len(os.getxattr(out / "f", "security.capability")) == 20
    assert stat.S_IMODE((out / "f").stat().st_mode) == 0o4755
    assert stat.S_ISFIFO((out / "fifo").lstat().st_mode)
    assert (out / "null").lstat().st_rdev == os.makedev(1, 3)
    assert tree_digest(str(out)) == tree_digest(str(source))


def test_runs_of_zeros_become_holes(source: Path, tmp_path: Path) -> None:
    with (source / "sparse").open("wb") as file:
        file.write(b"start")
        file.truncate(32 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    unpack_bytes(packed(source, "zstd"), tmp_path / "out")
    out = tmp_path / "out/sparse"
    assert out.read_bytes() == (source / "sparse").read_bytes()
    assert out.stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
def test_what_tar_itself_writes(source: Path, tmp_path: Path, form: str) -> None:
    (source / ("n" * 90)).write_text("long name")
    (source / "d").mkdir()
    os.link(source / ("n" * 90), source / "d/link")
    with (source / "sparse").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"data" * 5000)
    seconds = int(source.stat().st_mtime)
    for path, _, _ in os.walk(source):
        os.utime(path, (seconds, seconds))
    for path in source.rglob("*"):
        os.utime(path, (seconds, seconds))
    sparse = ["--sparse"] if form in ("gnu", "pax") else []
    line = ["tar", f"--format={form}", *sparse, "--numeric-owner", "-C", str(source), "-c", "."]
    unpack_bytes(subprocess.run(line, capture_output=True, check=True).stdout, tmp_path / "out")
    assert tree_digest(str(tmp_path / "out")) == tree_digest(str(source))


def test_bytes_that_are_no_text_survive_in_names(source: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    (source / name).symlink_to(os.fsdecode(b"\x80target"))
    unpack_bytes(packed(source), tmp_path / "out")
    assert os.readlink(tmp_path / "out" / name) == os.fsdecode(b"\x80target")  # noqa: PTH115


def test_the_umask_changes_nothing(source: Path, tmp_path: Path) -> None:
    layer = tar(entry("deep/er/f"), directory("d", mode=0o777))
    old = os.umask(0o077)
    try:
        unpack_bytes(layer, tmp_path / "out")
    finally:
        os.umask(old)
    modes = {
        name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("deep", "deep/er", "d")
    }
    assert modes == {"deep": 0o755, "deep/er": 0o755, "d": 0o777}


def test_a_whiteout_and_its_successor_make_an_opaque_directory(tmp_path: Path) -> None:
    unpack_bytes(tar(entry(".wh.d"), directory("d"), entry("d/new"), entry(".wh.gone")), tmp_path / "out")
    assert metadata.is_opaque(str(tmp_path / "out/d"))
    assert (tmp_path / "out/gone").lstat().st_rdev == 0
    assert stat.S_ISCHR((tmp_path / "out/gone").lstat().st_mode)


def test_a_name_that_means_a_whiteout_cannot_be_packed(source: Path) -> None:
    (source / ".wh.x").write_text("")
    with pytest.raises(ImageError, match=re.escape(str(source / ".wh.x"))):
        packed(source)
