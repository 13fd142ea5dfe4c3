"""Copies when a container or an archive is hostile, and when the container runs."""

from __future__ import annotations

import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.errors import EngineError, NotFoundError
from runtime.engine.service.files import archive
from tests.runtime.engine.service.files.file_boxes import Box, Swapping, joined, names_in, tar
from tests.runtime.engine.service.stdio.stream_fakes import NAME

pytestmark = pytest.mark.root


# ---- hostile ----------------------------------------------------------------------------------------------


def test_links_end_at_the_root(play_box, secret: Path):
    async def scene(box: Box) -> None:
        up = "../" * 30
        (box.lower / "absolute").symlink_to(secret)
        (box.lower / "relative").symlink_to(up + str(secret)[1:])
        (box.lower / "self").symlink_to("/proc/self/root")
        for name in ("absolute", "relative", "self"):
            with pytest.raises(NotFoundError):
                await box.stat(f"/{name}/secret")
            with pytest.raises(NotFoundError):
                await box.put(f"/{name}", tar(("x", b"")))
        assert [path.name for path in secret.iterdir()] == ["secret"]

    play_box(scene)


@pytest.mark.parametrize(
    "entries",
    [
        [("../../../../../../x", b"1")],
        [("a/../../x", b"1")],
        [("out", "-> /HOST"), ("out/x", b"1")],
        [("out", "-> " + "../" * 30 + "HOST"), ("out/x", b"1")],
        [("hard", {"type": tarfile.LNKTYPE, "linkname": "/HOST/secret"})],
        [("hard", {"type": tarfile.LNKTYPE, "linkname": "../" * 30 + "HOST/secret"})],
    ],
    ids=["up", "up inside", "absolute link", "relative link", "hard link", "hard link up"],
)
def test_no_archive_writes_outside(play_box, secret: Path, entries):
    host = str(secret)

    def here(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("/HOST", host)
        return {key: here(one) for key, one in value.items()} if isinstance(value, dict) else value

    async def scene(box: Box) -> None:
        before = {path: path.stat().st_nlink for path in secret.parent.iterdir() if path.is_file()}
        try:
            await box.put("/tmp", tar(*((name, here(what)) for name, what in entries)))
        except EngineError as error:
            assert "'" in str(error), "it names an entry"
        assert [path.name for path in secret.iterdir()] == ["secret"]
        assert (secret / "secret").stat().st_nlink == 1
        assert before == {path: path.stat().st_nlink for path in secret.parent.iterdir() if path.is_file()}

    play_box(scene)


def test_a_directory_swapped_for_a_link_while_it_is_copied(play_box, running, secret: Path):
    """CVE-2018-15664, both ways: a program in the container exchanges the path all the time."""

    async def scene(box: Box) -> None:
        running(box)
        merged = Path(f"/proc/{box.service.containers.record.state.pid}/root")
        (merged / "dir").mkdir()
        (merged / "dir/secret").write_text("harmless")
        (merged / "evil").symlink_to(secret)
        with Swapping(merged / "dir", merged / "evil") as swapping:
            for _ in range(60):
                with suppress(EngineError):
                    _, found = await box.get("/dir/")
                    for entry in found:
                        content = found.extractfile(entry) if entry.isreg() else None
                        assert content is None or content.read() in (b"harmless", b"")
                with suppress(EngineError):
                    await box.put("/dir", tar(("written", b"")))
        assert swapping.count > 100
        assert [path.name for path in secret.iterdir()] == ["secret"]

    play_box(scene)


# ---- a running container ----------------------------------------------------------------------------------


def test_a_running_container_is_seen_as_it_sees_itself(play_box, running):
    async def scene(box: Box) -> None:
        running(box)
        assert (await box.stat("/tmp/only-here")).size == 0
        await box.put("/tmp", tar(("there too", b"1")))
        names = {entry.name for entry in (await box.get("/tmp"))[1]}
        assert names == {"tmp", "tmp/only-here", "tmp/there too"}
        assert not (box.upper / "tmp").exists()
        await box.put("/etc", tar(("new", b"1")))
        assert (box.upper / "etc/new").read_bytes() == b"1"

    play_box(scene)


@pytest.mark.parametrize("entries", [(("tmp", b"a file"),), (("tmp", "-> etc"), ("tmp/x", b"1"))])
def test_what_is_mounted_in_it_is_not_replaced(play_box, running, entries):
    async def scene(box: Box) -> None:
        running(box)
        with pytest.raises(EngineError, match="'tmp' in /: device or resource busy"):
            await box.put("/", tar(*entries))
        assert (await box.stat("/tmp/only-here")).size == 0

    play_box(scene)


def test_what_the_kernel_shows_is_not_copied_with_the_root(play_box, running):
    async def scene(box: Box) -> None:
        running(box)
        data = await joined((await archive.get_archive(box.service, NAME, "/"))[1])
        names = names_in(data)
        assert {"/proc", "/dev", "/tmp/only-here"} <= names
        assert not any(name.startswith("/proc/") for name in names)
        data = await joined(await archive.export(box.service, NAME))
        names = names_in(data)
        assert {"etc/passwd", "proc", "tmp"} <= names
        assert "tmp/only-here" not in names

    play_box(scene)


def test_links_of_proc_lead_nowhere(play_box, running):
    async def scene(box: Box) -> None:
        running(box)
        pid = box.service.containers.record.state.pid
        (box.upper / "way").symlink_to(f"/proc/{pid}/root")
        (box.upper / "one").symlink_to("/proc/1/root")
        for path in (f"/proc/{pid}/root/etc/passwd", "/way/etc/passwd", "/one/etc/passwd", "/proc/1/cwd/etc"):
            with pytest.raises(EngineError):
                await box.get(path)

    play_box(scene)


def test_a_pid_that_is_no_longer_the_containers_is_not_looked_into(play_box, running):
    """A process of the host that got the pid of an ended container must not be taken for it."""

    async def scene(box: Box) -> None:
        running(box)
        box.service.spawner.all_pids = ()
        with pytest.raises(NotFoundError):
            await box.stat("/tmp/only-here")
        assert (await box.stat("/etc/passwd")).size
        names = names_in(await joined(await archive.export(box.service, NAME)))
        assert "etc/passwd" in names

    play_box(scene)
