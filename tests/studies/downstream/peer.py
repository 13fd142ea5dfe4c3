"""Docker's own daemon, to compare with, in namespaces that the caller has made."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_PATIENCE_S = 60.0


@contextlib.contextmanager
def running_dockerd(base: Path) -> Iterator[str]:
    """Run it with its state below `base`; yields its address."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    socket, groups = base / "docker.sock", f"nn-downstream-{base.name}"
    command = [
        "dockerd", "--config-file", _empty(base / "daemon.json"), "--data-root", str(base / "root"),
        "--exec-root", "/run/docker", "--pidfile", "/run/docker.pid", "--host", f"unix://{socket}",
        "--cgroup-parent", f"/{groups}", "--log-level", "error", "--experimental", "--group", "root",
    ]  # fmt: skip
    with (base / "dockerd.log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait_for(process, socket)
            yield f"unix://{socket}"
        finally:
            process.terminate()
    _remove_groups(groups)


def _empty(path: Path) -> str:
    path.write_text("{}")
    return str(path)


def _wait_for(process: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    command = ["docker", "--host", f"unix://{socket}", "version"]
    while subprocess.run(command, capture_output=True).returncode:
        assert process.poll() is None, "dockerd has ended"
        assert time.monotonic() < deadline, "dockerd does not answer"
        time.sleep(0.1)


def _remove_groups(name: str) -> None:
    for top in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for where, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(where).rmdir()
