"""docker-py's own integration tests: the 16 files that need neither a swarm nor plugins.

The daemon, a hub and the tests run in network and mount namespaces of their own: the host's settings and
firewall stay as they are, and our daemon and Docker's find the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))

from daemon_process import Daemon
from hub import Hub
from outcomes import Suite, read_junit
from peer import running_dockerd

FILES = (
    "api_build_test", "api_client_test", "api_container_test", "api_exec_test", "api_healthcheck_test",
    "api_image_test", "api_network_test", "api_volume_test", "client_test", "errors_test",
    "models_containers_test", "models_images_test", "models_networks_test", "models_resources_test",
    "models_volumes_test", "regression_test",
)  # fmt: skip
VERSION = "1.45"
PULLED = ("alpine:3.10", "alpine:latest", "busybox:latest")
_HERE = Path(__file__).resolve()


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against our daemon, against a dockerd of this run's (`--peer`), or against `--host`."""
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    against = options.host or ("dockerd" if options.peer else "nnd")
    try:
        _install_what_it_imports(base)
        if options.host:
            suite(checkout, base, options.host, options.only)
        else:
            _in_own_namespaces(checkout, base, against, options.only)
        return Suite("docker-py", against, read_junit(_report(base)))
    finally:
        for log in base.glob("*.log"):
            shutil.copy(log, Path(tempfile.gettempdir()) / f"downstream-{log.name}")
        shutil.rmtree(base, ignore_errors=True)


def suite(
    checkout: Path, base: Path, host: str, only: str, environment: Mapping[str, str] = os.environ
) -> None:
    """Run the tests against a daemon."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={_report(base)}",
        "--timeout=120", *(["-k", only] if only else []),
        *(f"tests/integration/{name}.py" for name in FILES),
    ]  # fmt: skip
    own = {
        "DOCKER_HOST": host,
        "DOCKER_TEST_API_VERSION": VERSION,
        "PYTHONPATH": f"{checkout}{os.pathsep}{base / 'packages'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(_shared(base)),
    }
    subprocess.run(command, cwd=checkout, env={**environment, **own})


def _install_what_it_imports(base: Path) -> None:
    """Beside docker-py itself, and away from our own environment."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(base / "packages")]
    subprocess.run([*pip, "paramiko", "websocket-client"], check=True)


def _report(base: Path) -> Path:
    return base / "junit.xml"


def _shared(base: Path) -> Path:
    """Where the tests make their directories: a shared mount, as a host's file systems are under systemd."""
    directory = base / "tmp"
    directory.mkdir(exist_ok=True)
    return directory


# ---- in namespaces of their own ---------------------------------------------------------------------------


def _in_own_namespaces(checkout: Path, base: Path, against: str, only: str) -> None:
    # With a process namespace nothing of dockerd outlives it. Ours cleans up by itself, which is to be seen.
    beyond = ["--pid", "--fork", "--kill-child", "--mount-proc"] if against == "dockerd" else []
    command = ["unshare", "--net", "--mount", "--propagation", "private", *beyond, sys.executable, str(_HERE)]
    subprocess.run([*command, str(checkout), str(base), against, only], check=True)


def inside(checkout: Path, base: Path, against: str, only: str) -> None:
    """Set up the namespaces that this process is in, and run the tests there."""
    hub = Hub(base / "hub")
    shared = str(_shared(base))
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["mount", "--bind", str(hub.hosts), "/etc/hosts"],
        ["mount", "--bind", shared, shared],
        ["mount", "--make-shared", shared],
    ):
        subprocess.run(command, check=True)
    os.environ["SSL_CERT_FILE"] = str(hub.authority)
    with hub.serve(), _daemon(base, against) as host:
        environment = os.environ | {"DOCKER_HOST": host}
        for image in PULLED:
            subprocess.run(["docker", "pull", "--quiet", image], env=environment, check=True)
        suite(checkout, base, host, only)


@contextlib.contextmanager
def _daemon(base: Path, against: str) -> Iterator[str]:
    if against == "dockerd":
        with running_dockerd(base) as host:
            yield host
        return
    daemon = Daemon(base, "--experimental")
    daemon.start()
    try:
        yield daemon.host
    finally:
        try:
            daemon.stop()
        except AssertionError as error:  # what it left, or where it departs from its own description
            print(f"nnd afterwards: {error}", flush=True)


if __name__ == "__main__":
    inside(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
