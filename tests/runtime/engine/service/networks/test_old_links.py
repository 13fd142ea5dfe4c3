"""Old links: what they are bound to, and the names that containers have by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.rules.old_links import parse_link
from tests.runtime.engine.service.containers.lifecycle_fakes import create, open_service, reopened
from tests.waiting import in_loop


def links(service: Any, ref: str) -> list[str] | None:
    return service.containers.links_of(service.containers.get(ref))


@in_loop
async def test_a_container_has_names_by_links_that_follow_each_rename(tmp_path: Path):
    service = await open_service(tmp_path)
    db = await create(service, "db")
    web = await create(service, "web", links=["db:sql", "/db:/web/other", "db:sql"])
    assert links(service, "web") == ["/db:/web/sql", "/db:/web/other"]
    assert service.containers.names_by_links() == {db: ["/web/sql", "/web/other"]}
    await service.containers.rename("web", "app")
    await service.containers.rename("db", "store")
    await create(service, "db")  # another one of the old name
    service = reopened(service)
    await service.containers.open()
    assert links(service, "app") == ["/store:/app/sql", "/store:/app/other"]
    assert service.containers.get("app/sql").id == service.containers.get("/app/other").id == db
    for gone in ("web/sql", "app/none", f"{web}/sql", "app/sql/x", "app/"):
        with pytest.raises(NotFoundError, match=f"No such container: {gone}"):
            service.containers.get(gone)
    await service.containers.remove("store")
    assert links(service, "app") is None
    assert service.containers.names_by_links() == {}


@in_loop
async def test_a_link_needs_a_container_with_a_network(tmp_path: Path):
    service = await open_service(tmp_path)
    db = await create(service, "db")
    await create(service, "beside", network_mode="container:db")
    await create(service, "web", links=["beside"])
    assert service.containers.get("web/beside").id == db
    await create(service, "hosts", network_mode="host")
    for wrong, said in (
        ({"links": ["nobody:x"]}, "could not get container for nobody: No such container: nobody"),
        ({"links": ["hosts"]}, "host type networking can't be used with links"),
        ({"links": [""]}, "empty string specified for links"),
        ({"links": ["a:b:c"]}, "bad format for links: a:b:c"),
        ({"links": ["db"], "network_mode": "host"}, "host type networking can't be used with links"),
        (
            {"links": ["db"], "network_mode": "container:db"},
            "container type network can't be used with links",
        ),
    ):
        with pytest.raises(BadParameterError, match=said):
            await create(service, **wrong)
    assert len(service.containers.list(all=True)) == 4


@in_loop
async def test_on_a_network_of_ones_own_links_are_the_networks(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web", network_mode="own", links=["later:sql"])
    assert service.containers.get("web").host_config.links == ["later:sql"]
    assert links(service, "web") is None


def test_a_link_is_read_as_it_is_written_and_as_it_is_shown():
    assert parse_link("db") == ("db", "db")
    assert parse_link("db:sql") == parse_link("/db:/web/sql") == ("db", "sql")
    assert parse_link("db:/sql") == ("db", "sql")
