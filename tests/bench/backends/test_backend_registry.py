from __future__ import annotations

from pathlib import Path

import pytest

from bench.backends.base import InstanceSpec
from bench.backends.registry import BACKENDS
from tests.paths import REPOSITORY


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_made_without_touching_anything(name: str, tmp_path: Path) -> None:
    backend = BACKENDS[name](tmp_path / "state")
    assert backend.name == name
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_documented(name: str) -> None:
    text = (REPOSITORY / "docs/backends.md").read_text()
    assert f"| `{name}` |" in text


def test_only_a_vm_refuses_the_hosts_network() -> None:
    made = {name: make(Path("/nowhere")) for name, make in BACKENDS.items()}
    refusing = {name for name, backend in made.items() if backend.unsupported(InstanceSpec(network="host"))}
    assert refusing == {"vm", "vm-untuned"}


def test_the_host_has_no_limits_to_give() -> None:
    backend = BACKENDS["host"](Path("/nowhere"))
    assert backend.unsupported(InstanceSpec(memory_max=1 << 20)) is not None
    assert backend.unsupported(InstanceSpec(network="nat")) is None
