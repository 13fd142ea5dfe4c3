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


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[Daemon]:
    """The nnd of all modules of a worker that neither kill it nor count what it ever did."""
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A real nnd with the image busybox and nothing else, the worker's own or, if marked so, the module's.

    Nothing may be left of it at its end.
    """
    if request.node.get_closest_marker("own_daemon"):
        with running_daemon() as daemon:
            yield daemon
        return
    shared: Daemon = request.getfixturevalue("shared_daemon")
    yield shared
    shared.empty()
    shared.conforms()


@pytest.fixture(params=names())
def client(request: pytest.FixtureRequest, daemon: Daemon) -> Iterator[Client]:
    """Docker's command and ours, one after the other, at that daemon; it has no containers afterwards."""
    yield Client(request.param, daemon)
    daemon.remove_containers()


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
