"""Mirrors of the hub: asked first, believed in what digests prove, and passed over when they fail."""

from __future__ import annotations

import pytest

from runtime.image.registry import session
from runtime.image.registry.client import RegistryClient
from runtime.image.registry.credentials import Credential
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import RegistryNotFoundError
from tests.runtime.registries import make_image, send, tar_of

IMAGE = make_image([tar_of({"file": b"x" * 100})])


@pytest.fixture
def hub(other, monkeypatch):
    monkeypatch.setattr(session, "_HUB_API", other.host)
    return other


@pytest.fixture
def mirrored(fake, hub):
    return RegistryClient(
        RegistryOptions(mirrors=(fake.host,), insecure=("docker.io",), attempts=1, pause_s=0.01, connect_s=2)
    )


def test_the_mirror_is_asked_and_the_hub_is_not(fake, hub, mirrored, store):
    digest = fake.add(IMAGE, "library/app")
    pulled = mirrored.pull(store, "app:1", credential=Credential(username="me", password="secret"))
    assert pulled.image.reference == "app:1"
    assert pulled.image.repo_digests == (f"app@{digest}",)
    assert mirrored.inspect("docker.io/library/app:1").document.digest == digest
    assert mirrored.tags("app") == ["1"]
    assert not hub.seen
    assert not any("Authorization" in headers for _, _, headers in fake.seen), "a password is the hub's alone"


@pytest.mark.parametrize("broken", ["missing", "lying", "gone"])
def test_what_the_mirror_cannot_give_comes_from_the_hub(fake, hub, mirrored, store, broken):
    digest = hub.add(IMAGE, "library/app")
    if broken == "lying":
        fake.add(IMAGE, "library/app")
        fake.on(
            "GET", "/v2/library/app/manifests/1", lambda handler: send(handler, 200, b'{"no": "manifest"}')
        )
    if broken == "gone":
        fake.close()
    assert mirrored.pull(store, "app:1").digest == digest


def test_what_neither_has_is_reported_of_the_hub(mirrored, store):
    with pytest.raises(RegistryNotFoundError, match="manifest for app:1 not found"):
        mirrored.pull(store, "app:1")


def test_other_registries_have_no_mirror(fake, hub, mirrored, store):
    hub.add(IMAGE)
    mirrored.pull(store, hub.name())
    assert not fake.seen
