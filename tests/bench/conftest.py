"""The bench image, built once for all tests that run real programs, and kept below .cache."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer import testing

from bench.backends.base import BenchImage
from bench.backends.host import HostBackend
from bench.host import fingerprint, noise
from bench.image import ImageError, build
from tests.paths import GUESTS, REPOSITORY


@pytest.fixture(scope="session", autouse=True)
def once_for_all() -> Iterator[None]:
    """Ask the host's tools for their versions once, and build the command line once; watch counters 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "host_tools", functools.cache(fingerprint.host_tools))
        patch.setattr(noise, "WATCHED_S", 0.01)
        patch.setattr(testing, "_get_command", functools.cache(testing._get_command))
        yield


@pytest.fixture(scope="session")
def image_cache() -> Path:
    return Path(os.environ.get("NINETYNINE_CACHE") or REPOSITORY / ".cache" / "ninetynine")


def state_below(parent: Path, name: str) -> Path:
    """A directory for what backends make of the image: a short path on its file system.

    Libvirt's sockets do not fit below pytest's own.
    """
    path = parent / name
    path.mkdir(parents=True, exist_ok=True)
    GUESTS.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (path / "vm").symlink_to(GUESTS)
    return path


@pytest.fixture(scope="session")
def state(image_cache: Path, bench_image: BenchImage) -> Iterator[Path]:
    """Where the host's copy of the image is there already, for all tests of a worker: one takes seconds."""
    path = state_below(image_cache, "test-backends")
    holder = HostBackend(path)
    holder.prepare(bench_image)
    yield path
    holder.cleanup()


@pytest.fixture(scope="session")
def bench_image(image_cache: Path) -> Iterator[BenchImage]:
    if os.geteuid() != 0:
        pytest.skip("the bench image is built by root only")
    try:
        yield build(image_cache)
    except ImageError as error:
        pytest.skip(str(error))
