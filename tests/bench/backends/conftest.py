"""One started backend of each kind, shared by the conformance tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.backends.base import Backend, BenchImage, Instance, InstanceSpec, NotAvailable
from bench.backends.registry import BACKENDS
from tests.bench.backends.kinds import NAMES


@pytest.fixture(scope="module", params=NAMES)
def backend(request: pytest.FixtureRequest, state: Path, bench_image: BenchImage) -> Iterator[Backend]:
    made = BACKENDS[request.param](state)
    found = made.probe()
    if isinstance(found, NotAvailable):
        pytest.skip(found.reason)
    made.prepare(bench_image)
    yield made
    made.cleanup()


@pytest.fixture(scope="module")
def idle(backend: Backend) -> Iterator[Instance]:
    """An idle instance for the tests that only talk to one."""
    instance = backend.start(InstanceSpec())
    yield instance
    instance.stop()
