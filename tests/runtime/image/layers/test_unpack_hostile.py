"""Layers that try to get out, or are broken: each refused by name, nothing outside touched."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.image.errors import ImageError, LayerError
from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.store.image_store import ImageStore
from tests.runtime.tars import directory, entry, hardlink, symlink, tar, unpack_bytes

pytestmark = pytest.mark.root

SECRET = "secret"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / SECRET).write_text("untouched")
    return path


HOSTILE = {
    "absolute": (entry("/x"),),
    "parent": (entry("../x"),),
    "through a link": (symlink("d", "../outside"), entry("d/x", data=b"!")),
    "through an absolute link": (symlink("d", "/tmp"), entry("d/x", data=b"!")),
    "through a link, deep": (symlink("d", ".."), directory("d/outside"), entry("d/outside/secret")),
    "directory over a link's target": (symlink("d", "../outside"), directory("d/"), entry("d/../x")),
    "hard link out": (hardlink("x", "../outside/secret"),),
    "hard link to absolute": (hardlink("x", "/etc/passwd"),),
    "hard link through a link": (symlink("d", "../outside"), hardlink("x", "d/secret")),
    "hard link to nothing": (hardlink("x", "y"),),
    "hard link to a directory": (directory("d"), hardlink("x", "d")),
    "whiteout of parent": (directory("d"), entry("d/.wh...")),
    "whiteout through a link": (symlink("d", "../outside"), entry("d/.wh.secret")),
    "opaque through a link": (symlink("d", "../outside"), entry("d/.wh..wh..opq")),
    "raw whiteout": (entry("x", tarfile.CHRTYPE, devmajor=0, devminor=0),),
    "file under a file": (entry("f", data=b"x"), entry("f/x")),
    "file over a directory": (directory("d"), entry("d/x"), entry("d")),
    "root as a file": (entry("."),),
    "overlay redirect": (directory("d", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/outside"}),),
    "unknown type": (entry("x", b"Z"),),
    "impossible time": (entry("x", pax_headers={"mtime": "1e400"}),),
    "name too long": (entry("x" * 300),),
}
NAMED = {
    "through a link, deep": "d/outside",
    "hard link out": "../outside/secret",
    "hard link to absolute": "/etc/passwd",
    "hard link through a link": "d/secret",
    "whiteout through a link": "d/secret",
    "opaque through a link": "d/",
    "impossible time": "timestamp out of range",
}
"""What the error names where it is not the last entry."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_layer_is_refused_and_touches_nothing(kind: str, tmp_path: Path, outside: Path) -> None:
    store = ImageStore(tmp_path / "store")
    named = NAMED.get(kind, HOSTILE[kind][-1][0].name.rstrip("/"))
    with pytest.raises(LayerError, match=re.escape(named)):
        store.add_layer(io.BytesIO(tar(*HOSTILE[kind])))
    assert [path.name for path in outside.iterdir()] == [SECRET]
    assert (outside / SECRET).read_text() == "untouched"
    assert (outside / SECRET).stat().st_nlink == 1
    assert not [path for name in ("tmp", "layers") for path in (tmp_path / "store" / name).iterdir()]
    assert not list((tmp_path / "store/blobs/sha256").iterdir())


def test_a_link_out_of_the_root_is_content_and_is_not_followed(tmp_path: Path, outside: Path) -> None:
    layer = tar(symlink("d", "../outside"), directory("d"), entry("d/x", data=b"inside"))
    unpack_bytes(layer, tmp_path / "new")
    assert (tmp_path / "new/d/x").read_text() == "inside"
    assert not (outside / "x").exists()


def test_bomb_of_bytes_is_refused_early(tmp_path: Path) -> None:
    plain = tar(entry("zeros", data=bytes(64 << 20)))
    for packed in (gzip.compress(plain), zstandard.compress(plain), plain):
        target = tmp_path / f"t{len(packed)}"
        with pytest.raises(LayerError, match=r"\b1048576\b"):
            unpack_bytes(packed, target, UnpackLimits(max_bytes=1 << 20))


def test_bomb_of_entries_is_refused(tmp_path: Path) -> None:
    layer = tar(*(entry(f"f{number}") for number in range(20)))
    with pytest.raises(LayerError, match=r"\b10\b"):
        unpack_bytes(layer, tmp_path / "t", UnpackLimits(max_entries=10))


def test_bomb_in_a_header_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 33
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16)
    with pytest.raises(LayerError, match=rf"\b{1 << 33}\b"):
        unpack_bytes(data, tmp_path / "t")


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, bytes])
def test_cut_short_anywhere_is_refused(compress, tmp_path: Path) -> None:
    plain = tar(directory("d"), entry("d/f", data=os.urandom(5000)), symlink("l", "d"))
    whole = compress(plain.rstrip(b"\0") + bytes(1024))
    for length in {0, 1, 10, 511, 512, 1000, len(whole) // 2, len(whole) - 1024, len(whole) - 1025}:
        target = tmp_path / str(length)
        with pytest.raises(LayerError):
            unpack_bytes(whole[: max(length, 0)], target)


def test_only_padding_and_end_mark_may_lack_where_a_digest_proves_the_rest(tmp_path: Path) -> None:
    whole = tar(directory("d"), entry("d/f", data=b"x" * 700))
    end = 512 + 512 + 700  # of the last file's bytes
    for length in (end, end + 1, 1024 + 1024, len(whole)):
        store = ImageStore(tmp_path / str(length))
        data = whole[:length]
        layer = store.content.add_stream(io.BytesIO(data), diff_id=digest(data))
        assert (store.content.unpacked(layer).tree / "d/f").read_bytes() == b"x" * 700
    for length in (end - 1, end - 600, 600):
        store = ImageStore(tmp_path / str(length))
        with pytest.raises(LayerError):
            store.content.add_stream(io.BytesIO(whole[:length]), diff_id=digest(whole[:length]))
        assert not list((store.root / "layers").iterdir())


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_trailing_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=r"\bgzip\b"):
        unpack_bytes(gzip.compress(tar(entry("x"))) + b"garbage", tmp_path / "t")


def test_several_gzip_members_are_one_stream(tmp_path: Path) -> None:
    data = tar(entry("x", data=b"1" * 2000))
    unpack_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:]), tmp_path / "t")
    assert (tmp_path / "t/x").read_bytes() == b"1" * 2000


def test_other_compressions_are_named() -> None:
    with pytest.raises(LayerError, match="xz"):
        LayerReader(io.BytesIO(b"\xfd7zXZ\0\0\0"), UnpackLimits())


def test_wrong_digest_is_refused_and_not_kept(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    data = tar(entry("x"))
    for claim in ({"digest": "sha256:" + "0" * 64}, {"diff_id": "sha256:" + "0" * 64}):
        with pytest.raises(LayerError, match="sha256:" + "0" * 64):
            store.content.add_stream(io.BytesIO(data), **claim)
    assert not list((tmp_path / "store/layers").iterdir())


WHOLE = tar(
    directory("d", mode=0o700),
    entry("d/f", data=b"content" * 300, pax_headers={"SCHILY.xattr.user.a": "1"}),
    hardlink("d/g", "d/f"),
    symlink("l", "d/f"),
    entry("d/.wh.x"),
    entry("y" * 200),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(WHOLE) - 1), junk=st.binary(min_size=1, max_size=40))
def test_damage_anywhere_is_either_refused_or_stays_inside(place: int, junk: bytes, tmp_path: Path) -> None:
    damaged = WHOLE[:place] + junk + WHOLE[place + len(junk) :]
    base = tmp_path / os.urandom(8).hex()
    base.mkdir()
    try:
        unpack_bytes(damaged, base / "t", UnpackLimits(max_bytes=1 << 20))
    except ImageError as error:
        assert str(error)
    assert [path.name for path in base.iterdir()] == ["t"]
