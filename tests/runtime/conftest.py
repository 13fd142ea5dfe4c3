from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, Engine
from tests.runtime.clients import Client, names
from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.daemon_process import Daemon, running_daemon


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.geteuid() != 0 and item.get_closest_marker("root"):
        pytest.skip("needs root: namespaces, mounts and cgroups")


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_rootfs(tmp_path_factory.mktemp("rootfs"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A real nnd with the image busybox; nothing may be left of it afterwards."""
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture(params=names())
def client(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[Client]:
    """Docker's command and ours, one after the other, at that daemon; it has no containers afterwards."""
    client = Client(request.param, daemon)
    yield client
    left = client("ps", "-aq", "--no-trunc").split()
    if left:
        client("rm", "-fv", *left)


@pytest.fixture
def run(engine: Engine, rootfs: Path) -> Callable[..., tuple[int, str]]:
    """Run a shell script in a container to its end; returns (exit status, what it wrote)."""

    def run(script: str, stdin_fd: int = -1, **config: object) -> tuple[int, str]:
        config.setdefault("layers", (str(rootfs),))
        if "rootfs" in config:
            config["layers"] = ()
        container = engine.create(ContainerConfig(argv=("sh", "-c", script), **config))
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            container.start(stdin_fd, write, write)
            os.close(write)
            with os.fdopen(read) as output:
                text = output.read()
            return container.wait(), text.strip()
        finally:
            container.remove()

    return run
