"""docker-py's own integration tests: the 16 files that need neither a swarm nor plugins."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from container_rootfs import build_rootfs
from daemon_process import Daemon, add_busybox
from outcomes import Suite, read_junit

from runtime.image import ImageStore
from runtime.image.documents import Execution, ImageConfig

FILES = (
    "api_build_test", "api_client_test", "api_container_test", "api_exec_test", "api_healthcheck_test",
    "api_image_test", "api_network_test", "api_volume_test", "client_test", "errors_test",
    "models_containers_test", "models_images_test", "models_networks_test", "models_resources_test",
    "models_volumes_test", "regression_test",
)  # fmt: skip
VERSION = "1.45"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against a daemon of ours, or against `--host`."""
    with _host(options.host) as host, tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "junit.xml"
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
            "--timeout=120", *(["-k", options.only] if options.only else []),
            *(f"tests/integration/{name}.py" for name in FILES),
        ]  # fmt: skip
        environment = os.environ | {
            "DOCKER_HOST": host,
            "DOCKER_TEST_API_VERSION": VERSION,
            "PYTHONPATH": f"{checkout}{os.pathsep}{_wanted(Path(scratch) / 'packages')}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        subprocess.run(command, cwd=checkout, env=environment)
        return Suite("docker-py", options.host or "nnd", read_junit(report))


def _wanted(target: Path) -> Path:
    """Install what the suite imports beside docker-py itself, away from our own environment."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
    subprocess.run([*pip, "paramiko", "websocket-client"], check=True)
    return target


@contextlib.contextmanager
def _host(other: str) -> Iterator[str]:
    if other:
        yield other
        return
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    daemon = Daemon(base, checked=False)
    try:
        add_images(daemon.root, base)
        daemon.start()
        try:
            yield daemon.host
        finally:
            shutil.copy(daemon.log, Path(tempfile.gettempdir()) / "nnd-downstream.log")
            daemon.terminate()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def add_images(root: Path, base: Path) -> None:
    """The images that the suite takes for granted, made of busybox: there is no hub here."""
    add_busybox(root, base / "busybox")
    alpine = build_rootfs(base / "alpine")
    (alpine / "var/opt").mkdir(parents=True)
    for name, line in (("passwd", "postgres:x:70:70::/var:/bin/sh\n"), ("group", "postgres:x:70:\n")):
        with (alpine / "etc" / name).open("a") as file:
            file.write(line)
    execution = Execution(cmd=["/bin/sh"], env=[_PATH])
    store = ImageStore(root / "images")
    store.create("alpine:3.10", [alpine], ImageConfig(config=execution))
    store.tag("alpine:3.10", "alpine:latest")
