"""Copies out of and into containers: real overlays, real mounts."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import threading
from contextlib import ExitStack, aclosing
from pathlib import Path

import pytest

from runtime.engine.errors import BadParameterError, ForbiddenError, NotFoundError
from runtime.engine.service.files import archive, rootview
from runtime.engine.service.model.record import MountPoint
from tests.runtime.engine.service.files.file_boxes import Box, joined, names_in, tar
from tests.runtime.engine.service.stdio.stream_fakes import NAME

pytestmark = pytest.mark.root


# ---- looking ----------------------------------------------------------------------------------------------


def test_stat_describes_a_path_in_gos_terms(play_box):
    async def scene(box: Box) -> None:
        passwd = box.lower / "etc/passwd"
        passwd.chmod(0o4640)
        os.utime(passwd, ns=(5, 1_000_000_005))
        (box.lower / "link").symlink_to("etc/../etc/./passwd")
        (box.lower / "broken").symlink_to("/etc/gone/../x")
        found = await box.stat("/etc/passwd")
        assert (found.name, found.size) == ("passwd", passwd.stat().st_size)
        assert found.mode == 0o640 | 1 << 23
        assert found.mtime == "1970-01-01T00:00:01.000000005Z"
        link = await box.stat("link")
        assert (link.name, link.link_target) == ("link", "/etc/passwd")
        assert link.mode & 1 << 27
        assert (await box.stat("broken")).link_target == "/etc/x"
        assert (await box.stat("/etc")).mode & 1 << 31
        assert (await box.stat("/")).name == "/"
        assert (await box.stat("/../../etc/passwd")).name == "passwd"

    play_box(scene)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/nothing", NotFoundError, "Could not find the file /nothing in container box"),
        ("nothing/below", NotFoundError, "Could not find the file nothing/below in container box"),
        ("/etc/passwd/", BadParameterError, "not a directory"),
        ("/etc/passwd/.", BadParameterError, "not a directory"),
        ("/loop/x", BadParameterError, "too many levels"),
    ],
)
def test_what_cannot_be_looked_at(play_box, path: str, error: type[Exception], message: str):
    async def scene(box: Box) -> None:
        (box.lower / "loop").symlink_to("loop")
        with pytest.raises(error, match=message):
            await box.stat(path)
        with pytest.raises(error, match=message):
            await box.get(path)

    play_box(scene)


# ---- out --------------------------------------------------------------------------------------------------


def test_a_directory_comes_with_all_kinds_of_entries(play_box):
    async def scene(box: Box) -> None:
        box.touch()
        top = box.upper / "data"
        (top / "sub/deep").mkdir(parents=True)
        (top / "file").write_bytes(b"content")
        os.link(top / "file", top / "twin")
        (top / "sub/link").symlink_to("/etc/passwd")
        os.mkfifo(top / "pipe")
        os.mknod(top / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.chown(top / "file", 12345, 3000000)
        _, found = await box.get("/data")
        kinds = {entry.name: (entry.type, entry.linkname) for entry in found}
        assert kinds == {
            "data": (tarfile.DIRTYPE, ""),
            "data/file": (tarfile.REGTYPE, ""),
            "data/twin": (tarfile.LNKTYPE, "data/file"),
            "data/sub": (tarfile.DIRTYPE, ""),
            "data/sub/deep": (tarfile.DIRTYPE, ""),
            "data/sub/link": (tarfile.SYMTYPE, "/etc/passwd"),
            "data/pipe": (tarfile.FIFOTYPE, ""),
            "data/null": (tarfile.CHRTYPE, ""),
        }
        file = found.getmember("data/file")
        assert (file.uid, file.gid) == (12345, 3000000)
        content = found.extractfile(file)
        assert content is not None
        assert content.read() == b"content"

    play_box(scene)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/etc/passwd", {"passwd"}),
        ("/etc/", {"etc", "etc/passwd"}),
        ("/etc/.", {".", "./passwd"}),
        ("/etc/./", {".", "./passwd"}),
        ("./etc/../etc//.//", {".", "./passwd"}),
        ("/link", {"link"}),
        ("/link/", {"link", "link/passwd"}),
        ("/", {"/", "/etc", "/etc/passwd", "/tmp", "/link"}),
    ],
)
def test_entries_are_named_as_docker_names_them(play_box, path: str, names: set[str]):
    async def scene(box: Box) -> None:
        (box.lower / "link").symlink_to("/etc")
        data = await joined((await archive.get_archive(box.service, NAME, path))[1])
        own = {"hosts", "hostname", "resolv.conf"}  # each container has them
        assert {name for name in names_in(data) if name.rpartition("/")[2] not in own} == names

    play_box(scene)


def test_a_sparse_file_is_read_as_fast_as_it_is_short(play_box):
    async def scene(box: Box) -> None:
        size = 300 << 20
        with (box.lower / "sparse").open("wb") as file:
            file.seek(100 << 20)
            file.write(b"middle")
            file.truncate(size)
        total, _ = 0, await box.stat("/sparse")
        _, chunks = await archive.get_archive(box.service, NAME, "/sparse")
        async with aclosing(chunks):
            async for chunk in chunks:
                total += len(chunk)
                if b"middle" in chunk:
                    assert total > 100 << 20
        assert total == 512 + size + 1024
        await box.put("/tmp", tar(("hole", bytes(8 << 20) + b"x")))
        status = (box.upper / "tmp/hole").stat()
        assert status.st_size == (8 << 20) + 1
        assert status.st_blocks * 512 < 1 << 20

    play_box(scene)


def test_who_stops_reading_early_leaves_nothing_open(play_box):
    async def scene(box: Box) -> None:
        (box.lower / "big").write_bytes(bytes(8 << 20))
        _, unread = await archive.get_archive(box.service, NAME, "/")
        await unread.aclose()
        _, chunks = await archive.get_archive(box.service, NAME, "/")
        await anext(chunks)
        await chunks.aclose()

    play_box(scene)


def test_a_root_is_given_back_beside_the_loop(play_box, monkeypatch: pytest.MonkeyPatch):
    """What was written through an overlay goes to the disk then, which may take long."""
    threads = []

    def assemble(service: object, record: object, held: ExitStack, writable: bool) -> int:
        held.callback(lambda: threads.append(threading.get_ident()))
        return -1

    async def scene(box: Box) -> None:
        monkeypatch.setattr(rootview, "_assemble", assemble)
        async with rootview.root_of(box.service, box.service.containers.get(NAME), writable=True):
            assert not threads
        assert len(threads) == 1
        assert threads != [threading.get_ident()]

    play_box(scene)


def test_events_show_copies(play_box):
    async def scene(box: Box) -> None:
        await box.get("/etc")
        await box.put("/tmp", tar(("x", b"")))
        await joined(await archive.export(box.service, NAME))
        told = [action for action, _ in box.service.containers.told]
        assert told == ["archive-path", "extract-to-dir", "export"]

    play_box(scene)


# ---- in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz", "zst"])
def test_a_tar_is_unpacked_whatever_it_is_compressed_with(play_box, compression: str):
    async def scene(box: Box) -> None:
        data = tar(("a", b"content"), compression=compression.replace("zst", ""))
        if compression == "zst":
            import zstandard

            data = zstandard.ZstdCompressor().compress(data)
        await box.put("/tmp", data)
        assert (box.upper / "tmp/a").read_bytes() == b"content"

    play_box(scene)


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_files_of_all_sizes_and_with_holes_come_as_they_are(play_box, tmp_path: Path, form: str):
    sizes = (0, 1, 511, 512, 513, (1 << 16) - 1, (1 << 20) + 1, (3 << 20) + 5)
    for size in sizes:
        (tmp_path / str(size)).write_bytes(os.urandom(size))
    with (tmp_path / "1-holes").open("wb") as file:  # sorted between the others
        for at in (0, 1 << 20, 5 << 20):
            file.seek(at)
            file.write(b"middle")
        file.truncate(6 << 20)
    names = sorted(path.name for path in tmp_path.iterdir())
    made = subprocess.run(
        ["tar", "--sparse", f"--format={form}", "-C", str(tmp_path), "-c", *names],
        check=True, capture_output=True,
    )  # fmt: skip

    async def scene(box: Box) -> None:
        await box.put("/tmp", made.stdout)
        for name in names:
            assert (box.upper / "tmp" / name).read_bytes() == (tmp_path / name).read_bytes()

    play_box(scene)


def test_metadata_is_that_of_the_tar(play_box):
    async def scene(box: Box) -> None:
        capability = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        pax = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
            for name, kind in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE), ("d/p", tarfile.FIFOTYPE)):
                info = tarfile.TarInfo(name)
                info.type, info.uid, info.gid, info.mode, info.mtime = kind, 7, 8, 0o4751, 1000
                info.pax_headers = dict(pax) if name == "d/f" else {}
                target.addfile(info)
            info = tarfile.TarInfo("d/l")
            info.type, info.linkname, info.uid, info.gid, info.mtime = (
                tarfile.SYMTYPE,
                "/nowhere",
                9,
                10,
                1000,
            )
            target.addfile(info)
        await box.put("/tmp", buffer.getvalue())
        for name in ("d", "d/f", "d/p"):
            status = (box.upper / "tmp" / name).lstat()
            assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (7, 8, 0o4751)
            assert status.st_mtime == 1000
        link = (box.upper / "tmp/d/l").lstat()
        assert (link.st_uid, link.st_gid, link.st_mtime) == (9, 10, 1000)
        assert os.getxattr(box.upper / "tmp/d/f", "security.capability") == capability

    play_box(scene)


def test_all_can_belong_to_the_containers_user(play_box):
    async def scene(box: Box) -> None:
        await box.put("/tmp", tar(("f", b""), ("l", "-> x")), copy_uid_gid=True)
        for name in ("f", "l"):
            status = (box.upper / "tmp" / name).lstat()
            assert (status.st_uid, status.st_gid) == (5, 6)

    play_box(scene, user="bob")


def test_what_is_there_gives_way_as_in_docker(play_box):
    async def scene(box: Box) -> None:
        (box.lower / "tmp/d/sub").mkdir(parents=True)
        (box.lower / "tmp/d/old").touch()
        (box.lower / "tmp/f").write_text("old")
        await box.put("/tmp", tar(("d", None), ("d/new", b"new"), ("f", b"new")))
        names = {entry.name for entry in (await box.get("/tmp"))[1]}
        assert names == {"tmp", "tmp/d", "tmp/d/sub", "tmp/d/old", "tmp/d/new", "tmp/f"}
        with pytest.raises(BadParameterError, match='cannot overwrite directory "d" with non-directory'):
            await box.put("/tmp", tar(("d", b"")), no_overwrite_dir_non_dir=True)
        with pytest.raises(BadParameterError, match='cannot overwrite non-directory "f" with directory'):
            await box.put("/tmp", tar(("f", None)), no_overwrite_dir_non_dir=True)
        await box.put("/tmp", tar(("d", b"file now"), ("f", None), ("f/x", b"")))
        names = {entry.name for entry in (await box.get("/tmp"))[1]}
        assert names == {"tmp", "tmp/d", "tmp/f", "tmp/f/x"}

    play_box(scene)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/nothing", NotFoundError, "Could not find the file /nothing in container box"),
        ("/etc/passwd", BadParameterError, "extraction point is not a directory"),
        ("/tmp", BadParameterError, "/tmp: .*tar"),
    ],
)
def test_what_is_refused_on_the_way_in(play_box, path: str, error: type[Exception], message: str):
    async def scene(box: Box) -> None:
        with pytest.raises(error, match=message):
            await box.put(path, b"this is no tar" * 1000)

    play_box(scene)


def test_no_archive_at_all_is_one_of_nothing(play_box):
    async def scene(box: Box) -> None:
        await box.put("/tmp", b"")
        assert {entry.name for entry in (await box.get("/tmp"))[1]} == {"tmp"}

    play_box(scene)


def test_a_tar_that_is_cut_short_is_an_error(play_box):
    async def scene(box: Box) -> None:
        with pytest.raises(BadParameterError, match=r"/tmp: .*\btar\b"):
            await box.put("/tmp", tar(("f", bytes(1 << 20)))[: 1 << 19])

    play_box(scene)


def test_volumes_are_in_their_places(play_box, tmp_path: Path):
    volume, file = tmp_path / "volume", tmp_path / "file"
    volume.mkdir()
    file.write_text("bound")
    mounts = (
        MountPoint(type="bind", destination="/vol", source=str(volume)),
        MountPoint(type="bind", destination="/vol/file", source=str(file)),
        MountPoint(type="bind", destination="/ro", source=str(volume), read_only=True),
        MountPoint(type="tmpfs", destination="/scratch"),
    )

    async def scene(box: Box) -> None:
        await box.put("/vol", tar(("inside", b"1")))
        assert (volume / "inside").read_bytes() == b"1"
        assert not (box.upper / "vol/inside").exists()
        _, found = await box.get("/vol")
        bound = found.extractfile("vol/file")
        assert bound is not None
        assert bound.read() == b"bound"
        with pytest.raises(ForbiddenError, match="mounted volume is marked read-only"):
            await box.put("/ro", tar(("x", b"")))
        data = await joined(await archive.export(box.service, NAME))
        names = names_in(data)
        assert {"etc", "etc/passwd", "vol"} <= names
        assert "vol/inside" not in names

    play_box(scene, mounts=mounts)


def test_a_read_only_root_takes_nothing_but_its_volumes_do(play_box, tmp_path: Path):
    volume = tmp_path / "volume"
    volume.mkdir()

    async def scene(box: Box) -> None:
        with pytest.raises(ForbiddenError, match="container rootfs is marked read-only"):
            await box.put("/tmp", tar(("x", b"")))
        await box.put("/vol", tar(("x", b"")))
        assert (volume / "x").exists()

    mounts = (MountPoint(type="bind", destination="/vol", source=str(volume)),)
    play_box(scene, readonly_rootfs=True, mounts=mounts)
