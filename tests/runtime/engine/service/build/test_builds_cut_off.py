"""A daemon that is killed in the middle of a build."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.runtime.daemon_process import running_daemon

pytestmark = pytest.mark.root

DOCKERFILE = "FROM busybox\nRUN echo one > /one\nRUN {last}\n"


def test_its_step_goes_and_what_a_failed_build_left_stays(tmp_path: Path):
    with running_daemon() as daemon:
        line = ["docker", "build", "--network", "none", "-t", "made", tmp_path]
        (tmp_path / "Dockerfile").write_text(DOCKERFILE.format(last="exit 3"))
        assert subprocess.run(line, env=daemon.environment, capture_output=True).returncode == 3
        (kept,) = daemon.docker("ps", "-aq", "--no-trunc").split()
        (tmp_path / "Dockerfile").write_text(DOCKERFILE.format(last="sleep 600"))
        with subprocess.Popen(line, env=daemon.environment, stdout=subprocess.DEVNULL) as build:
            while not daemon.docker("ps", "-q"):
                time.sleep(0.02)
            assert len(daemon.docker("ps", "-aq").split()) == 2
            daemon.terminate(signal.SIGKILL)
            build.wait()
        daemon.start()
        assert daemon.docker("ps", "-aq", "--no-trunc").split() == [kept]
        assert [path.name for path in (daemon.root / "containers").iterdir()] == [kept]
        daemon.docker("rm", kept)
        (tmp_path / "Dockerfile").write_text(DOCKERFILE.format(last="echo two"))
        assert "Using cache" in daemon.docker("build", "--network", "none", "-t", "made", str(tmp_path))
