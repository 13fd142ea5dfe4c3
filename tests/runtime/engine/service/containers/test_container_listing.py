from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.records.names import Names, check_name
from runtime.network.model import Port
from tests.runtime.engine.service.containers.lifecycle_fakes import IMAGE_ID, create, open_service
from tests.waiting import in_loop


def names(service, **filters: list[str]) -> list[str]:
    found = service.containers.list(all=True, filters={k.replace("_", "-"): v for k, v in filters.items()})
    return [one.name for one in found]


@in_loop
async def test_newest_first_and_only_what_runs_without_all(tmp_path: Path):
    service = await open_service(tmp_path)
    for name in ("one", "two", "three"):
        await create(service, name)
    await service.containers.start("two")
    assert [one.name for one in service.containers.list()] == ["two"]
    assert names(service) == ["three", "two", "one"]
    assert [one.name for one in service.containers.list(limit=2)] == ["three", "two"]
    by_status = service.containers.list(filters={"status": ["created"]})
    assert [one.name for one in by_status] == ["three", "one"]


@in_loop
async def test_each_filter_finds_what_docker_finds(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", labels={"tier": "front"}, binds=["data:/data"])
    await create(service, "db", labels={"tier": "back"})
    await service.containers.start("web")
    service.spawner.end(made, 3)
    await service.containers.wait("web")
    expected = {
        ("name", "^/web$"): ["web"],
        ("name", "e"): ["web"],
        ("id", made[:6]): ["web"],
        ("label", "tier=front"): ["web"],
        ("label", "tier"): ["db", "web"],
        ("exited", "3"): ["web"],
        ("exited", "0"): [],
        ("status", "exited"): ["web"],
        ("ancestor", "busybox"): ["db", "web"],
        ("ancestor", IMAGE_ID): ["db", "web"],
        ("ancestor", "other"): [],
        ("volume", "data"): ["web"],
        ("volume", "/data"): ["web"],
        ("network", "bridge"): ["db", "web"],
        ("network", "other"): [],
        ("since", "web"): ["db"],
        ("before", "db"): ["web"],
        ("health", "none"): ["db", "web"],
        ("is-task", "true"): [],
    }
    found = {key: names(service, **{key[0]: [key[1]]}) for key in expected}
    assert found == expected


@in_loop
async def test_only_what_runs_has_ports_inside_and_on_the_host(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", exposed_ports={"80/tcp": {}})
    await create(service, "bare", network_mode="none", exposed_ports={"80/udp": {}})
    for name in ("web", "bare"):
        await service.containers.start(name)
    service.table.set_ports(made, (Port(host=8081, container=81),))
    inside = {("expose", one) for one in ("80", "70-90/tcp", "81")}
    outside = {("publish", one) for one in ("8081", "8080-8082/tcp")}
    neither = {("expose", "80/udp"), ("expose", "8081"), ("publish", "81"), ("publish", "0-80")}

    def fitting() -> set[tuple[str, str]]:
        return {(key, one) for key, one in inside | outside | neither if names(service, **{key: [one]})}

    assert fitting() == inside | outside
    service.spawner.end(made, 0)
    await service.containers.wait("web")
    assert fitting() == set()


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"bogus": ["x"]}, BadParameterError),
        ({"status": ["bogus"]}, BadParameterError),
        ({"exited": ["x"]}, BadParameterError),
        ({"health": ["x"]}, BadParameterError),
        ({"before": ["nobody"]}, NotFoundError),
        ({"since": ["nobody"]}, NotFoundError),
    ],
)
def test_filters_that_make_no_sense_are_refused(tmp_path: Path, filters, error):
    @in_loop
    async def refused() -> None:
        service = await open_service(tmp_path)
        await create(service, "web")
        with pytest.raises(error):
            service.containers.list(filters=filters)

    refused()


# ---- names ----------------------------------------------------------------------------------------------


def test_a_reference_is_an_id_a_name_or_the_start_of_an_id():
    known = Names()
    known.add("abc1", "web")
    known.add("abd2", "abc")
    assert known.find("abc1") == "abc1"
    assert known.find("/web") == "abc1"
    assert known.find("abc") == "abd2", "a name comes before the start of an id"
    assert known.find("abd") == "abd2"
    with pytest.raises(BadParameterError, match="Multiple IDs found with provided prefix: ab"):
        known.find("ab")
    for ref in ("nope", ""):
        with pytest.raises(NotFoundError, match=f"No such container: {ref}"):
            known.find(ref)


@given(st.text(min_size=1, max_size=8))
def test_a_name_that_is_allowed_is_safe_in_a_path(text):
    try:
        name = check_name(text)
    except BadParameterError:
        return
    assert "/" not in name and not name.startswith(".") and len(name) >= 2


def test_invented_names_are_free():
    known, invented = Names(), []
    for number in range(3000):
        invented.append(known.invent())
        known.add(str(number), invented[-1])  # which refuses one that is taken
    assert len(set(invented)) == len(invented)
