"""What a strange but honest layer may do, and what stays inside the store whatever a layer says."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from runtime.image.errors import LayerError
from runtime.image.layers.layer_reader import UnpackLimits
from runtime.image.layers.metadata import is_opaque
from runtime.image.store.image_store import ImageStore
from tests.runtime.tars import directory, entry, hardlink, symlink, tar, unpack_bytes

pytestmark = pytest.mark.root


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def test_device_nodes_are_made_as_nodes_and_never_opened(tmp_path: Path) -> None:
    devices = (
        entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("disk", tarfile.BLKTYPE, devmajor=254, devminor=7),
        entry("pipe", tarfile.FIFOTYPE),
    )
    unpack_bytes(tar(*devices), tmp_path / "t")
    kinds = {path.name: stat.S_IFMT(path.lstat().st_mode) for path in (tmp_path / "t").iterdir()}
    assert kinds == {"null": stat.S_IFCHR, "disk": stat.S_IFBLK, "pipe": stat.S_IFIFO}
    assert (tmp_path / "t/disk").lstat().st_rdev == os.makedev(254, 7)


def test_a_file_is_never_written_through_a_device_or_pipe(tmp_path: Path) -> None:
    layer = tar(entry("x", tarfile.FIFOTYPE), entry("x", data=b"plain"))
    unpack_bytes(layer, tmp_path / "t")
    assert (tmp_path / "t/x").read_bytes() == b"plain"


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o1777, 0o6711])
def test_setuid_and_its_kin_are_kept(bits: int, tmp_path: Path) -> None:
    unpack_bytes(tar(entry("tool", data=b"x", mode=bits, uid=7, gid=8)), tmp_path / "t")
    status = (tmp_path / "t/tool").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (bits, 7, 8)


def test_the_store_is_closed_to_users_of_the_host(store: ImageStore) -> None:
    store.add_layer(io.BytesIO(tar(entry("su", data=b"x", mode=0o4755))))
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_longer_than_a_header_are_whole(form: int, tmp_path: Path) -> None:
    name, target = "/".join(["d" * 200] * 5), "/".join(["t" * 250] * 3)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as archive:
        info, content = entry(name, data=b"deep")
        archive.addfile(info, io.BytesIO(content))
        archive.addfile(symlink("link", target)[0])
    unpack_bytes(data.getvalue(), tmp_path / "t")
    assert (tmp_path / "t" / name).read_bytes() == b"deep"
    assert os.readlink(tmp_path / "t/link") == target  # noqa: PTH115


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (entry("x", data=b"1"), entry("x", data=b"2")),
        (symlink("x", "/etc/passwd"), entry("x", data=b"2")),
        (entry("x", tarfile.CHRTYPE, devmajor=1, devminor=3), entry("x", data=b"2")),
        (entry(".wh.x"), entry("x", data=b"2")),
    ],
)
def test_the_later_of_two_entries_holds(first: object, second: object, tmp_path: Path) -> None:
    unpack_bytes(tar(first, second), tmp_path / "t")  # type: ignore[arg-type]
    assert not (tmp_path / "t/x").is_symlink()
    assert (tmp_path / "t/x").read_bytes() == b"2"


def test_a_hard_link_replaced_later_leaves_its_other_name_alone(tmp_path: Path) -> None:
    unpack_bytes(tar(entry("a", data=b"old"), hardlink("b", "a"), entry("b", data=b"new")), tmp_path / "t")
    assert ((tmp_path / "t/a").read_bytes(), (tmp_path / "t/b").read_bytes()) == (b"old", b"new")


def test_a_hard_link_to_a_symbolic_link_does_not_follow_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("untouched")
    unpack_bytes(tar(symlink("s", str(tmp_path / "secret")), hardlink("h", "s")), tmp_path / "t")
    assert (tmp_path / "t/h").is_symlink()
    assert (tmp_path / "secret").stat().st_nlink == 1


def global_header(**fields: str) -> bytes:
    return tarfile.TarInfo.create_pax_global_header(fields)


@pytest.mark.parametrize(
    "fields", [{"path": "/etc/evil"}, {"path": "../evil"}, {"linkpath": "/etc/passwd"}, {"size": "999999"}]
)
def test_a_global_header_leads_nowhere(fields: dict[str, str], tmp_path: Path) -> None:
    hostile = global_header(**fields) + tar(entry("a", data=b"1"))
    with contextlib.suppress(LayerError):
        unpack_bytes(hostile, tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t"]
    assert {path.name for path in (tmp_path / "t").rglob("*")} <= {"a", "evil"}
    assert not Path("/etc/evil").exists()


def test_a_global_header_that_only_comments_is_passed_over(tmp_path: Path) -> None:
    unpack_bytes(global_header(comment="0123abc") + tar(entry("a", data=b"1")), tmp_path / "t")
    assert (tmp_path / "t/a").read_bytes() == b"1"


def test_a_sparse_file_that_claims_a_petabyte_is_refused(tmp_path: Path) -> None:
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
    sparse = entry("s", data=b"1\n0\n0\n".ljust(512, b"\0"), pax_headers=headers)
    with pytest.raises(LayerError, match=rf"\b{1 << 20}\b"):  # not only by ext4, whose files are smaller
        unpack_bytes(tar(sparse), tmp_path / "t", UnpackLimits(max_bytes=1 << 20))


def test_zeros_without_end_take_no_space_before_they_are_refused(tmp_path: Path) -> None:
    bomb = zstandard.compress(tar(entry("zeros", data=bytes(300 << 20))))
    limits = UnpackLimits(ratio_from=1 << 20)
    with pytest.raises(LayerError, match=rf"\b{limits.max_ratio}\b"):
        unpack_bytes(bomb, tmp_path / "t", limits)


def test_our_own_layer_of_zeros_is_not_a_bomb(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in/zeros").open("wb") as file:
        file.truncate(64 << 20)
    strict = ImageStore(tmp_path / "strict", UnpackLimits(ratio_from=1 << 20))
    image = strict.create("zeros", [tmp_path / "in"])
    assert (image.layer_dirs[0] / "zeros").stat().st_size == 64 << 20
    strict.verify("zeros")


def test_whiteouts_hide_only_what_lies_beside_them(store: ImageStore, tmp_path: Path) -> None:
    base = tar(directory("d"), entry("d/a"), entry("d/b"), entry("a"))
    store.create("app", [io.BytesIO(base), io.BytesIO(tar(entry("d/.wh.a")))])
    store.flatten("app", tmp_path / "flat")
    assert sorted(str(path.relative_to(tmp_path / "flat")) for path in (tmp_path / "flat").rglob("*")) == [
        "a",
        "d",
        "d/b",
    ]


def test_an_opaque_mark_that_comes_late_spares_its_own_layer(tmp_path: Path) -> None:
    unpack_bytes(tar(directory("d"), entry("d/new"), entry("d/.wh..wh..opq")), tmp_path / "t")
    assert is_opaque(str(tmp_path / "t/d"))
    assert (tmp_path / "t/d/new").exists()


def test_what_aufs_kept_for_itself_is_not_content(tmp_path: Path) -> None:
    unpack_bytes(tar(directory(".wh..wh.plnk"), entry(".wh..wh.plnk/1.2"), entry("a")), tmp_path / "t")
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["a"]


def test_a_refused_layer_leaves_names_and_content_as_they_were(store: ImageStore) -> None:
    store.create("app", [io.BytesIO(tar(entry("a", data=b"1")))])
    before = sorted(str(path) for path in store.root.rglob("*"))
    for hostile in (entry("../x"), entry("/x"), hardlink("x", "../../etc/passwd"), entry("d/.wh...")):
        with pytest.raises(LayerError):
            store.add_layer(io.BytesIO(gzip.compress(tar(hostile))))
    assert sorted(str(path) for path in store.root.rglob("*")) == before
    store.verify("app")
