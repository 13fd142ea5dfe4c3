"""Images survive everything that containers do to them, and daemons that are killed at work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.image.layers.tree import file_digest, tree_digest
from runtime.image.store.image_store import ImageStore
from tests.runtime.daemon_process import Daemon, running_daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]

# ---- containers -----------------------------------------------------------------------------------------

HARM = """
rm -rf /etc/passwd /home; echo x > /etc/group; chmod 777 /root; touch /tmp/x; chown 7 /bin/busybox
mv /d /e; mkdir /d; ln /bin/busybox /again; truncate -s 0 /big; echo more >> /big2; ln -sf / /link
touch -d 2001-01-01 /big2 /e; dd if=/dev/zero of=/bin/busybox2 bs=1 count=1 conv=notrunc; rm -rf /usr /sbin
mknod /null c 1 3; setfattr -n user.x -v y /big2; mount -o remount,rw /; umount /d
"""


@pytest.fixture
def base(daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """An image with something of everything."""
    (tmp_path / "big").write_bytes(os.urandom(1 << 20))
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY big /big\nCOPY big /big2\nRUN mkdir -p /d/f /home /v "
        "&& cp /bin/busybox /bin/busybox2 && echo v > /v/v && ln /big /hard && ln -s /etc /link\nVOLUME /v\n"
    )
    daemon.docker("build", "-q", "-t", "lasting", str(tmp_path))
    yield "lasting"
    daemon.docker("rmi", "-f", "lasting")


def layers(daemon: Daemon) -> dict[str, str]:
    """The digest of each unpacked layer's tree, and of each blob, by what is there now."""
    root = daemon.root / "images"
    trees = {path.name: tree_digest(str(path / "tree")) for path in (root / "layers").iterdir()}
    return trees | {path.name: file_digest(str(path)) for path in (root / "blobs/sha256").iterdir()}


def inodes(daemon: Daemon) -> dict[str, tuple[int, ...]]:
    found = {}
    for path in (daemon.root / "images/layers").rglob("*"):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink)
    return found


def test_nothing_a_container_does_changes_a_byte_of_an_image(
    daemon: Daemon, base: str, tmp_path: Path
) -> None:
    before, files = layers(daemon), inodes(daemon)
    for flags in ((), ("--privileged",), ("--cap-add", "ALL"), ("-v", "/d"), ("-v", "named:/root")):
        daemon.docker("run", "--rm", *flags, base, "sh", "-c", HARM, check=False)
    daemon.docker("run", "-d", "--name", "harmed", "--stop-timeout", "0", base, "sleep", "60")
    try:
        daemon.docker("exec", "harmed", "sh", "-c", "echo more >> /v/v; echo x > /big; rm /hard; rmdir /home")
        (tmp_path / "new").write_text("new")
        for target in ("/big2", "/link/passwd", "/d/f/new", "/bin/busybox2"):
            daemon.docker("cp", str(tmp_path / "new"), f"harmed:{target}")
        daemon.docker("commit", "harmed", "harmed:1")
        daemon.docker("rm", "-fv", "harmed")
        daemon.docker("run", "--rm", "harmed:1", "sh", "-c", HARM, check=False)
        daemon.docker("rmi", "harmed:1")
    finally:
        daemon.docker("rm", "-fv", "harmed", check=False)
        daemon.docker("volume", "rm", "named")
    assert layers(daemon) == before
    assert inodes(daemon) == files
    ImageStore(daemon.root / "images").verify(base)


# ---- killed daemons -------------------------------------------------------------------------------------

Reached = Callable[[Daemon, subprocess.Popen[bytes]], bool]


def halfway(daemon: Daemon, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the daemon has begun to put something into its store; whether it was seen."""
    deadline = time.monotonic() + 60
    work = daemon.root / "images/tmp"
    while not any(path.is_file() and path.stat().st_size for path in work.rglob("*")):
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return True


def in_a_step(daemon: Daemon, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a step's container runs; whether it was seen."""
    while "sleep" not in daemon.docker("ps", "--format", "{{.Command}}"):
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def kill_in_the_middle(daemon: Daemon, line: list[str], reached: Reached, made: str) -> None:
    """Kill the daemon over its work, and start it again. On a busy machine work may be over before."""
    while True:
        process = daemon.docker_start(*line)
        seen = reached(daemon, process)
        daemon.terminate(signal.SIGKILL)
        process.communicate(timeout=60)
        daemon.start()
        if seen and process.returncode != 0:
            return
        undo(daemon, made)


def undo(daemon: Daemon, made: str) -> None:
    """Remove what the work made."""
    daemon.docker("rmi", made)
    left = [one for one in daemon.docker("ps", "-a", "--format", "{{.Names}}").split() if one != "full"]
    daemon.docker("rm", "-f", *left) if left else None
    daemon.docker("image", "prune", "-f")


@pytest.fixture(scope="module")
def killed() -> Iterator[Daemon]:
    """A daemon that tests may kill, with a container `full` that has written 40 MB."""
    with running_daemon() as daemon:
        daemon.docker(
            "run", "--name", "full", "busybox", "dd", "if=/dev/urandom", "of=/x", "bs=1M", "count=40"
        )
        daemon.docker("commit", "full", "full:1")
        daemon.docker("save", "-o", str(daemon.root.parent / "full.tar"), "full:1")
        daemon.docker("rmi", "full:1")
        context = daemon.root.parent / "context"
        context.mkdir()
        shutil.copy(daemon.root.parent / "full.tar", context / "big")
        (context / "Dockerfile").write_text("FROM busybox\nCOPY big /big\nRUN sleep 0.5\nRUN cp /big /copy\n")
        yield daemon
        daemon.docker("rm", "-f", *daemon.docker("ps", "-aq").split())


WORK: dict[str, tuple[tuple[str, ...], Reached]] = {
    "load": (("load", "-q", "-i", "full.tar"), halfway),
    "import": (("import", "full.tar", "made:1"), halfway),
    "commit": (("commit", "full", "made:1"), halfway),
    "build": (("build", "-q", "--no-cache", "-t", "made:1", "context"), halfway),
    "a build's step": (("build", "-q", "--no-cache", "-t", "made:1", "context"), in_a_step),
}


@pytest.mark.parametrize("kind", WORK)
def test_what_a_killed_daemon_left_half_done_blocks_nothing(kind: str, killed: Daemon) -> None:
    (verb, *arguments), reached = WORK[kind]
    base = killed.root.parent
    line = [verb, *(str(base / one) if (base / one).exists() else one for one in arguments)]
    made = "full:1" if verb == "load" else "made:1"
    kill_in_the_middle(killed, line, reached, made)
    assert not list((killed.root / "images/tmp").iterdir())
    names = killed.docker("images", "--format", "{{.Repository}}").split()
    assert [name for name in names if name != "<none>"] == ["busybox"]
    store = ImageStore(killed.root / "images")
    for image in store.list():
        store.verify(image.id)
    assert killed.docker("run", "--rm", "busybox", "echo", "hi") == "hi\n"
    killed.docker(*line)
    assert killed.docker("images", "-q", made)
    undo(killed, made)
    assert len(list((killed.root / "images/layers").iterdir())) == 1
    assert len(list((killed.root / "images/blobs/sha256").iterdir())) == 3
