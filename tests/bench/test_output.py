"""The one writer of the suite, at real devices, FIFOs, links, read-only files and full disks."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import output, store
from bench.cli import app
from bench.output import RefusedError
from bench.store import StoreError
from tests.paths import REPOSITORY

NEW = b"new content"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="device nodes, owners and mounts need root")


def device(path: Path, minor: int, kind: int = stat.S_IFCHR) -> Path:
    """A node of our own: of 1:3 it is a /dev/null, whatever becomes of it."""
    os.mknod(path, kind | 0o666, os.makedev(1, minor))
    return path


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Path]:
    """A directory in which nothing but what was there, or is asked for, may be afterwards."""
    yield tmp_path
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")] == []


# ---- files -----------------------------------------------------------------------------------------------


def test_a_file_is_made_with_the_usual_mode_and_replaced_with_its_own(alone: Path):
    path = alone / "file"
    output.write(path, b"first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o640)
    before = path.stat().st_ino
    output.write(path, NEW)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (NEW, 0o640)
    assert path.stat().st_ino != before, "replaced, not overwritten: a reader never sees a part"


@pytest.mark.root
@as_root
def test_a_users_file_stays_the_users(alone: Path):
    path = alone / "file"
    path.touch()
    os.chown(path, 1234, 2345)
    output.write(path, NEW)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_where_it_leads_is_written(alone: Path, there: bool):
    (alone / "kept").mkdir()
    target = alone / "kept/file"
    if there:
        target.write_text("old")
    (alone / "middle").symlink_to("kept/file")
    (alone / "link").symlink_to(alone / "middle")
    output.write(alone / "link", NEW)
    assert target.read_bytes() == NEW
    assert (alone / "link").readlink() == alone / "middle"


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_read_only_file_stays_as_it_is_for_root_too(alone: Path, mode: int):
    path = alone / "file"
    path.write_text("old")
    path.chmod(mode)
    with pytest.raises(RefusedError, match=re.escape(str(path))):
        output.write(path, NEW)
    path.chmod(0o600)
    assert path.read_text() == "old"


def test_links_that_lead_round_are_an_error(alone: Path):
    (alone / "one").symlink_to("two")
    (alone / "two").symlink_to("one")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        output.write(alone / "one", NEW)
    assert (alone / "one").is_symlink()


def test_a_link_into_a_directory_that_is_not_there_is_an_error(alone: Path):
    (alone / "link").symlink_to("nowhere/file")
    with pytest.raises(FileNotFoundError):
        output.write(alone / "link", NEW)


# ---- not a regular file ---------------------------------------------------------------------------------


def a_directory(path: Path) -> Path:
    path.mkdir()
    return path


def a_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
    return path


def a_disk(path: Path) -> Path:
    return device(path, 77, stat.S_IFBLK)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (a_directory, "a directory"),
        (a_socket, "a socket"),
        pytest.param(
            lambda path: device(path, 77, stat.S_IFBLK), "a block device", marks=(pytest.mark.root, as_root)
        ),
    ],
)
def test_what_cannot_be_written_is_refused(alone: Path, made: Callable[[Path], Path], what: str):
    path = made(alone / "here")
    before = path.lstat()
    with pytest.raises(RefusedError, match=f"{what}; .*--out"):
        output.write(path, NEW)
    assert path.lstat() == before


@pytest.mark.root
@as_root
@pytest.mark.parametrize("linked", [False, True])
def test_a_device_takes_the_data_and_stays_one(alone: Path, linked: bool):
    """Where the suite's `--out /dev/null` renamed a file over the host's /dev/null."""
    path = device(alone / "null", 3)
    if linked:
        (alone / "link").symlink_to("null")
    before = path.stat()
    output.write(alone / "link" if linked else path, NEW)
    assert (path.stat().st_ino, path.stat().st_rdev) == (before.st_ino, before.st_rdev)


@pytest.mark.root
@as_root
def test_a_device_that_is_full_is_an_error(alone: Path):
    with pytest.raises(OSError, match="No space left on device"):
        output.write(device(alone / "full", 7), NEW)


def test_a_fifo_is_written_into(alone: Path):
    fifo = alone / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    output.write(fifo, NEW * 100_000)
    reader.join(60)
    assert read == [NEW * 100_000]
    assert fifo.is_fifo()


WRITE = (
    "import sys; from pathlib import Path; from bench import output; output.write(Path(sys.argv[1]), b'new')"
)


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_where_it_leads(alone: Path, path: str):
    """A file behind it is gone on with, and not replaced: whoever opened it has it open still."""
    with (alone / "log").open("w+b", buffering=0) as file:
        file.write(b"before ")
        subprocess.run([sys.executable, "-c", WRITE, path], stdout=file, cwd=REPOSITORY, check=True)
        file.write(b" after")
        assert (alone / "log").read_bytes() == b"before new after"
    done = subprocess.run(
        [sys.executable, "-c", WRITE, path], capture_output=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout == b"new"


# ---- full disks ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "nn-test", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.root
@as_root
def test_on_a_full_disk_the_old_content_stays(tmp_path: Path):
    with small_disk(tmp_path / "disk") as disk:
        (disk / "file").write_text("old")
        with pytest.raises(OSError, match="No space left on device"):
            output.write(disk / "file", bytes(1 << 20))
        assert [(path.name, path.read_text()) for path in disk.iterdir()] == [("file", "old")]


# ---- the verbs -------------------------------------------------------------------------------------------


def invoke(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Samples that `judge` reads."""
    path = tmp_path / "samples.csv"
    rows = [f"time,{one},{session},0,1.{session},lower" for one in ("host", "box") for session in range(9)]
    path.write_text("\n".join(["metric,system,session,block,value,better", *rows]))
    return path


@pytest.mark.root
@as_root
def test_judge_leaves_devices_and_read_only_files_as_they_are(tmp_path: Path, samples: Path):
    null = device(tmp_path / "null", 3)
    status, said = invoke("judge", samples, "--out", null)
    assert (status, stat.S_ISCHR(null.stat().st_mode)) == (0, True), said
    full = device(tmp_path / "full", 7)
    status, said = invoke("judge", samples, "--out", full)
    assert (status, stat.S_ISCHR(full.stat().st_mode)) == (1, True)
    assert f"{full}: No space left on device" in said
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o444)
    status, said = invoke("judge", samples, "--out", tmp_path / "kept")
    assert (status, (tmp_path / "kept").read_text()) == (1, "old")
    assert "--out" in said


def test_judge_writes_where_a_link_leads(tmp_path: Path, samples: Path):
    (tmp_path / "link").symlink_to("verdicts.json")
    assert invoke("judge", samples, "--out", tmp_path / "link")[0] == 0
    assert (tmp_path / "verdicts.json").read_bytes().startswith(b"[")


def test_a_run_is_kept_in_a_directory_and_nothing_else(tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(StoreError, match=r"File exists.*--out"):
        store.create(fifo)
    assert fifo.is_fifo()
