"""docker-py's own integration tests: the 16 files that need neither a swarm nor plugins."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.studies.downstream.outcomes import Suite, read_junit
from tests.studies.downstream.own_namespaces import run_inside, shared, world

FILES = (
    "api_build_test", "api_client_test", "api_container_test", "api_exec_test", "api_healthcheck_test",
    "api_image_test", "api_network_test", "api_volume_test", "client_test", "errors_test",
    "models_containers_test", "models_images_test", "models_networks_test", "models_resources_test",
    "models_volumes_test", "regression_test",
)  # fmt: skip
VERSION = "1.45"
PULLED = ("alpine:3.10", "alpine:latest", "busybox:latest")


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against our daemon, against a dockerd of this run's (`--peer`), or against `--host`."""
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    against = options.host or ("dockerd" if options.peer else "nnd")
    try:
        _install_what_it_imports(base)
        if options.host:
            suite(checkout, base, options.only, os.environ | {"DOCKER_HOST": options.host})
        else:
            run_inside(__name__, against, [str(checkout), str(base), against, options.only])
        return Suite("docker-py", against, read_junit(_report(base)))
    finally:
        for log in base.glob("*.log"):
            shutil.copy(log, Path(tempfile.gettempdir()) / f"downstream-{log.name}")
        shutil.rmtree(base, ignore_errors=True)


def suite(checkout: Path, base: Path, only: str, environment: Mapping[str, str]) -> None:
    """Run the tests against the daemon that the environment names."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={_report(base)}",
        "--timeout=120", *(["-k", only] if only else []),
        *(f"tests/integration/{name}.py" for name in FILES),
    ]  # fmt: skip
    own = {
        "DOCKER_TEST_API_VERSION": VERSION,
        "PYTHONPATH": f"{checkout}{os.pathsep}{base / 'packages'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(shared(base)),
    }
    subprocess.run(command, cwd=checkout, env={**environment, **own})


def _install_what_it_imports(base: Path) -> None:
    """Beside docker-py itself, and away from our own environment."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(base / "packages")]
    subprocess.run([*pip, "paramiko", "websocket-client"], check=True)


def _report(base: Path) -> Path:
    return base / "junit.xml"


def inside(checkout: Path, base: Path, against: str, only: str) -> None:
    """Run them in the namespaces that this process is in."""
    with world(base, against, PULLED) as environment:
        suite(checkout, base, only, environment)


if __name__ == "__main__":
    inside(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
