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

    async def end() -> None:
        spawner = await Spawner.open(path)
        await spawner.close(kill=True)

    yield path
    asyncio.run(end())
    with Engine(path, pools=False) as engine:
        assert engine.swept == ()


@pytest.fixture(scope="session")
def layers(rootfs: Path) -> tuple[str, ...]:
    return (str(rootfs),)
