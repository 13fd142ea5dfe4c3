"""The bench image, built once for all tests that run real programs, and kept below .cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.backends.base import BenchImage
from bench.image import ImageError, build
from tests.paths import REPOSITORY


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages have no charts, which take two thirds of a run of fakes; tests/reports draws them."""
    monkeypatch.setattr("reports.page.build", lambda evidence, target: "<p>not drawn in this test</p>")


@pytest.fixture(scope="session")
def image_cache() -> Path:
    return Path(os.environ.get("NINETYNINE_CACHE") or REPOSITORY / ".cache" / "ninetynine")


@pytest.fixture(scope="session")
def bench_image(image_cache: Path) -> Iterator[BenchImage]:
    if os.geteuid() != 0:
        pytest.skip("the bench image is built by root only")
    try:
        yield build(image_cache)
    except ImageError as error:
        pytest.skip(str(error))
