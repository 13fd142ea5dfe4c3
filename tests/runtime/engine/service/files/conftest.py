"""What the tests of containers' files share."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.container_rootfs import in_plain_chroot
from tests.runtime.engine.service.files.file_boxes import Box, descriptors
from tests.runtime.engine.service.stdio.stream_fakes import record


@pytest.fixture
def play_box(tmp_path: Path) -> Callable[..., None]:
    """Run a scene with a box, and see that no descriptor and no mount is left."""

    def play(scene: Callable[[Box], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            box = Box(tmp_path, **options)
            before, mounts = descriptors(), own_mounts(tmp_path)
            await scene(box)
            await asyncio.sleep(0)
            assert descriptors() <= before
            assert own_mounts(tmp_path) == mounts

        asyncio.run(main())

    return play


def own_mounts(place: Path) -> list[str]:
    """The host's mounts on or of something in a place; others come and go meanwhile."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(place) in line]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[[Box], None]]:
    """A container's first process, played by sleep on a real overlay, in a mount namespace of its own."""
    if in_plain_chroot():
        pytest.skip("the root is a plain chroot, where unshare makes no mount namespace")
    started: list[subprocess.Popen[bytes]] = []

    def start(box: Box) -> None:
        box.touch()
        for name in ("bin", "proc", "dev"):
            (box.lower / name).mkdir()
        shutil.copy(shutil.which("busybox") or "busybox", box.lower / "bin/busybox")
        place = tmp_path / "merged"
        place.mkdir()
        script = (
            f"mount --make-rprivate / && mount -t overlay overlay {place} -o {box.options} && cd {place} && "
            "mount -t proc proc proc && mount -t tmpfs tmpfs dev && mount -t tmpfs scratch tmp && "
            "touch tmp/only-here && mount --move . / && "
            "exec chroot . /bin/busybox sh -c 'echo ready; exec /bin/busybox sleep 1000'"
        )
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        started.append(process)
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == b"ready\n"
        box.service.containers.record = record(status="running", pid=process.pid)
        box.service.spawner.all_pids = (process.pid,)

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/secret").write_text("secret")
    return tmp_path / "host"
