"""What a daemon tells of itself."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from runtime.engine.service.info import info_document
from tests.runtime.engine.service.containers.lifecycle_fakes import make_service
from tests.waiting import in_loop


@in_loop
async def test_registries_are_listed_as_docker_lists_them(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    service.insecure = ("10.0.0.0/8", "plain.example:5000", "near.example")
    service.mirrors = ("near.example", "mirror.example")
    found = msgspec.to_builtins(info_document(service).registry_config)
    assert found["InsecureRegistryCIDRs"] == ["127.0.0.0/8", "10.0.0.0/8"]
    assert found["Mirrors"] == ["http://near.example/", "https://mirror.example/"]
    assert {name: one["Secure"] for name, one in found["IndexConfigs"].items()} == {
        "docker.io": True,
        "plain.example:5000": False,
        "near.example": False,
    }
    assert found["IndexConfigs"]["docker.io"]["Mirrors"] == found["Mirrors"]


@in_loop
async def test_debug_is_what_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    service = make_service(tmp_path)
    for level, told in ((logging.DEBUG, True), (logging.INFO, False)):
        caplog.set_level(level)
        assert info_document(service).debug == told
    assert info_document(service).n_goroutines > 0
