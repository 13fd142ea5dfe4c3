"""A real daemon whose disk is full, or whose files a power cut has left half-written."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.image.store.image_store import ImageStore
from tests.runtime.daemon_process import Daemon, add_busybox, running_daemon

pytestmark = pytest.mark.root

_FILL = "dd if=/dev/zero of=/data/big bs=64k; dd if=/dev/zero of=/data/rest bs=1k; echo filled"


@contextlib.contextmanager
def small_daemon(size: str) -> Iterator[Daemon]:
    """A daemon that has a file system of its own, with all that it writes."""
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "nnd-test", base], check=True)
    daemon = Daemon(base)
    try:
        add_busybox(daemon.root)
        daemon.start()
        yield daemon
        daemon.stop()
    finally:
        with contextlib.suppress(Exception):
            daemon.terminate(signal.SIGKILL)
        with contextlib.suppress(ValueError, OSError):  # after a failure its spawner is still there
            os.kill(daemon.spawner_pid, signal.SIGKILL)
        subprocess.run(["umount", "--lazy", base], check=True)
        base.rmdir()


def test_a_full_disk_refuses_what_needs_space_and_loses_nothing():
    with small_daemon("16m") as daemon:
        docker = daemon.docker
        docker(
            "run",
            "-d",
            "--stop-timeout",
            "0",
            "--name",
            "web",
            "busybox",
            "sh",
            "-c",
            "while :; do sleep 1; done",
        )
        docker("create", "--name", "idle", "busybox", "true")
        assert "filled" in docker("run", "--name", "full", "-v", "big:/data", "busybox", "sh", "-c", _FILL)
        for refused in (
            ["create", "busybox", "true"],
            ["run", "-d", "busybox", "true"],
            ["rename", "web", "other"],
            ["update", "--restart", "always", "web"],
            ["commit", "web", "image"],
            ["tag", "busybox", "other"],
            ["volume", "create", "other"],
            ["network", "create", "other"],
        ):
            assert "no space left on device" in docker(*refused, check=False), refused
        names = docker("ps", "-a", "--format", "{{.Names}} {{.State}}").split("\n")
        assert sorted(names) == ["", "full exited", "idle created", "web running"]
        docker("exec", "web", "true")
        docker("pause", "web")
        docker("unpause", "web")
        daemon.terminate(signal.SIGKILL)
        daemon.start()
        assert docker("ps", "--format", "{{.Names}}") == "web\n"
        docker("stop", "-t", "0", "web")
        docker("start", "web")
        docker("rm", "full")
        docker("volume", "rm", "big")
        docker("rename", "web", "other")
        assert docker("run", "--rm", "busybox", "echo", "space") == "space\n"
        daemon.terminate(signal.SIGKILL)
        daemon.start()
        names = docker("ps", "-a", "--format", "{{.Names}} {{.State}}").split("\n")
        assert sorted(names) == ["", "idle created", "other running"]


def test_what_a_power_cut_left_half_written_blocks_nothing():
    with running_daemon() as daemon:
        docker, root = daemon.docker, daemon.root
        docker("network", "create", "net")
        docker("run", "--name", "kept", "-v", "data:/data", "busybox", "sh", "-c", "echo old | tee /data/f f")
        docker(
            "run",
            "-d",
            "--stop-timeout",
            "0",
            "--name",
            "ran",
            "--network",
            "net",
            "busybox",
            "sleep",
            "1000",
        )
        docker("create", "--name", "cut", "busybox", "true")
        docker("commit", "kept", "image")
        cut = docker("inspect", "-f", "{{.Id}}", "cut").strip()
        os.kill(daemon.spawner_pid, signal.SIGKILL)
        daemon.terminate(signal.SIGKILL)
        leave_half_written(root, cut)

        daemon.start()
        names = docker("ps", "-a", "--format", "{{.Names}} {{.State}}").split("\n")
        assert sorted(names) == ["", "kept exited", "ran exited"]
        assert sorted(path.name for path in (root / "containers").iterdir() if path.name == cut) == [cut]
        assert "record cannot be read" in daemon.log.read_text()
        assert docker("start", "-a", "kept") == "old\n"
        docker("start", "ran")
        assert docker("exec", "ran", "hostname")
        assert docker("run", "--rm", "-v", "data:/data", "busybox", "cat", "/data/f") == "old\n"
        for name in ("half", "other"):
            docker("volume", "create", name)
        docker("create", "--name", "cut", "busybox", "true")
        docker("network", "create", "other")
        assert docker("run", "--rm", "image", "cat", "/f") == "old\n"
        assert not list((root / "images/tmp").iterdir())
        store = ImageStore(root / "images")
        for name in ("busybox:latest", "image:latest"):
            store.verify(name)
        shutil.rmtree(root / "containers" / cut)


def leave_half_written(root: Path, cut: str) -> None:
    """What may be there when the power goes in the middle of anything, and a record that is damaged."""
    containers, images = root / "containers", root / "images"
    (containers / ("a" * 64) / "layer/u").mkdir(parents=True)
    (containers / ("b" * 64)).mkdir()
    (containers / ("b" * 64) / "record.json").touch()
    (containers / ".gone-1" / "layer").mkdir(parents=True)
    (containers / cut / "record.json.new").write_text("{")
    os.truncate(containers / cut / "record.json", 100)
    (root / "volumes/half/_data").mkdir(parents=True)
    (root / "volumes/half/volume.new").write_text("{")
    os.truncate(root / "volumes/data/volume.json", 10)
    (root / "networks" / f"{'d' * 64}.json").write_text('{"id": ')
    (root / "networks" / f"{'e' * 64}.new").write_text("{")
    (images / "tmp/scratch").mkdir()
    (images / "blobs/sha256" / ("f" * 64)).write_text("cut off")
    (images / "layers" / ("f" * 64) / "tree").mkdir(parents=True)
