"""Differences of older API versions."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from runtime.api.http.compat import creation, information, update_of
from runtime.engine.service.info import info_document
from runtime.engine.service.model.request import CreateRequest, EndpointSettings, HostConfig, UpdateRequest
from tests.runtime.api.fake_service import ID, record
from tests.runtime.api.serving import Served, with_api
from tests.runtime.engine.service.containers.lifecycle_fakes import make_service


@pytest.mark.parametrize(
    ("version", "networks", "status"),
    [("/v1.43", ["a", "b"], 400), ("/v1.43", ["a"], 201), ("/v1.44", ["a", "b"], 201), ("", ["a", "b"], 201)],
)
def test_a_container_begins_on_one_network_before_1_44(
    tmp_path: Path, version: str, networks: list[str], status: int
):
    sent = {"Image": "a", "NetworkingConfig": {"EndpointsConfig": {name: {} for name in networks}}}

    async def body(api: Served) -> None:
        found, _, data = await api.ask("POST", f"{version}/containers/create", sent)
        assert found == status
        if status == 400:
            assert "cannot be created with multiple network endpoints: a, b" in json.loads(data)["message"]

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("version", "aliases"), [("/v1.44", ["db", ID[:12], "host"]), ("/v1.45", ["db"]), ("", ["db"])]
)
def test_aliases_had_the_names_that_every_container_has(tmp_path: Path, version: str, aliases: list[str]):
    async def body(api: Served) -> None:
        config = msgspec.structs.replace(record().config, hostname="host")
        networks = {"own": EndpointSettings(aliases=["db"]), "bridge": EndpointSettings()}
        api.service.containers.record = record(config=config, networks=networks)
        _, _, data = await api.ask("GET", f"{version}/containers/web/json")
        found = json.loads(data)["NetworkSettings"]["Networks"]
        assert found["own"]["Aliases"] == aliases
        assert found["bridge"]["Aliases"] is None

    with_api(tmp_path, body)


def test_ipc_was_shared_and_the_limit_of_processes_left_alone_before_1_40():
    def modes(version: tuple[int, int]) -> list[str]:
        asked = [None, HostConfig(), HostConfig(ipc_mode="private")]
        made = [creation(CreateRequest(host_config=host), version).host_config for host in asked]
        return [one.ipc_mode if one else "" for one in made]

    assert (modes((1, 39)), modes((1, 40))) == (["shareable", "shareable", "private"], ["", "", "private"])
    asked = UpdateRequest(pids_limit=5, cpu_shares=7)
    assert update_of(asked, (1, 40)) == asked
    assert update_of(asked, (1, 39)) == UpdateRequest(cpu_shares=7)


def test_limits_stood_beside_the_hosts_part():
    host = HostConfig(memory=1 << 30)
    asked = CreateRequest(memory=1 << 20, cpuset="0", volume_driver="x", host_config=host)
    assert creation(asked, (1, 45)).host_config == HostConfig(
        memory=1 << 30, cpuset_cpus="0", volume_driver="x"
    )
    assert creation(CreateRequest(image="a"), (1, 45)) == CreateRequest(image="a")


def test_security_options_were_names_and_there_was_an_execution_driver(tmp_path: Path):
    named = ["name=seccomp,profile=builtin", "name=cgroupns"]
    document = msgspec.structs.replace(info_document(make_service(tmp_path)), security_options=named)
    assert information(document, (1, 25)) is document
    old = information(document, (1, 24))
    assert (old.security_options, old.execution_driver) == (["seccomp", "cgroupns"], "<not supported>")
    assert old.id == document.id
