from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.engine.spawner.client import Spawner


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a spawner that ends with the module, whatever happened to it."""
    path = tmp_path_factory.mktemp("daemon")

    async def end() -> int:
        spawner = await Spawner.open(path)
        await spawner.close(kill=True)
        return spawner.pid

    yield path
    pid = asyncio.run(end())
    with Engine(path, pools=False) as engine:  # which frees what other tests' killed daemons left, too
        assert not [name for name in engine.swept if str(path) in name or f"nn-{pid}-" in name]


@pytest.fixture(scope="session")
def layers(rootfs: Path) -> tuple[str, ...]:
    return (str(rootfs),)
