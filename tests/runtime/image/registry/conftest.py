from __future__ import annotations

import pytest

from runtime.image.registry.client import RegistryClient
from runtime.image.registry.options import RegistryOptions
from runtime.image.store.image_store import ImageStore
from tests.runtime.registries import Fake


@pytest.fixture
def fake():
    registry = Fake()
    yield registry
    registry.close()


@pytest.fixture
def other():
    registry = Fake()
    yield registry
    registry.close()


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


@pytest.fixture
def client():
    return RegistryClient(RegistryOptions(pause_s=0.05))


@pytest.fixture
def brief():
    """It tries twice, without much of a pause, and waits for each answer as long as others do."""
    return RegistryClient(RegistryOptions(attempts=2, pause_s=0.01))


@pytest.fixture
def prompt():
    """It waits for no byte for long."""
    return RegistryClient(RegistryOptions(read_s=0.5, attempts=2, pause_s=0.01))


@pytest.fixture
def impatient():
    """Impatient, so that what drips for ever fails soon; on a busy machine all else may seem to, too."""
    return RegistryClient(
        RegistryOptions(answer_s=1.0, stall_s=0.6, stall_bytes=1024, attempts=2, pause_s=0.01)
    )
