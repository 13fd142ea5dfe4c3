"""A socket passed by systemd (`nnd.socket`) is not removed by the daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

pytestmark = [pytest.mark.root]

FIRST_FD = 3
LAUNCH = "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.executable, sys.argv[1:])"


@contextmanager
def nnd_on(listening: socket.socket, root: Path) -> Iterator[None]:
    """An nnd with that socket as its third descriptor, while the block runs."""
    program = [sys.executable, "-m", "runtime.api.nnd", "--root", str(root), "--host", "fd://"]
    assert listening.fileno() != FIRST_FD
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *program],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"LISTEN_FDS": "1", "PYTHONPATH": str(REPOSITORY)},
        preexec_fn=lambda: os.dup2(listening.fileno(), FIRST_FD),
        pass_fds=[FIRST_FD],
    ) as process:
        assert process.stdout is not None
        try:
            assert any("is ready: fd://" in line for line in iter(process.stdout.readline, ""))
            yield
        except BaseException:
            process.kill()
            raise
        process.terminate()
        process.stdout.read()
    assert process.returncode == 0


def ping(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_the_next_daemon_answers_on_the_same_socket():
    """Python 3.13 removes a Unix server's file by itself, and so took the socket from systemd."""
    with tempfile.TemporaryDirectory(prefix="nnd-test-") as base, socket.socket(socket.AF_UNIX) as listening:
        path = Path(base, "nnd.sock")
        listening.bind(str(path))
        listening.listen()
        made = path.stat().st_ino
        for _ in range(2):
            with nnd_on(listening, Path(base, "root")):
                assert ping(path).endswith(b"OK")
            assert path.stat().st_ino == made
