"""What a container is made with where docker settles it: platform, masks, partners, working directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.containers.create import complete
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.model.request import HostConfig
from runtime.oci import defaults
from tests.runtime.engine.service.containers.lifecycle_fakes import create, open_service, request
from tests.waiting import in_loop

FACTS = host_facts()


@in_loop
async def test_an_image_for_another_platform_is_as_if_it_were_not_there(tmp_path: Path):
    service = await open_service(tmp_path)
    for fitting in ("", "linux/arm64", "linux/arm64/v8", "arm64"):
        await service.containers.create(None, request(), platform=fitting)
    for other in ("linux/amd64", "windows/arm64", "linux/amd64other"):
        with pytest.raises(
            NotFoundError,
            match=r"does not match the specified platform: wanted \S+, actual: linux/arm64",
        ):
            await service.containers.create(None, request(), platform=other)


@pytest.mark.parametrize(
    ("asked", "masked", "readonly"),
    [
        ({}, list(defaults.MASKED_BY_DOCKER), list(defaults.READONLY)),
        ({"masked_paths": []}, [], list(defaults.READONLY)),
        ({"readonly_paths": []}, list(defaults.MASKED_BY_DOCKER), []),
        ({"masked_paths": ["/proc/keys"], "readonly_paths": ["/proc/bus"]}, ["/proc/keys"], ["/proc/bus"]),
        ({"privileged": True}, None, None),
    ],
)
def test_masks_are_dockers_where_they_are_left_open(asked: dict[str, Any], masked: Any, readonly: Any):
    made = complete(HostConfig(**asked), FACTS)
    assert (made.masked_paths, made.readonly_paths) == (masked, readonly)


@in_loop
async def test_who_shares_processes_or_memory_with_nobody_is_refused(tmp_path: Path):
    service = await open_service(tmp_path)
    for field in ("pid_mode", "ipc_mode"):
        with pytest.raises(BadParameterError, match="No such container: nobody"):
            await create(service, **{field: "container:nobody"})
    await create(service, network_mode="container:nobody")  # docker looks at the start


@in_loop
async def test_a_working_directory_is_written_in_its_shortest_form(tmp_path: Path):
    service = await open_service(tmp_path)
    for asked, kept in (("/tmp/", "/tmp"), ("//a/./b/../c", "/a/c"), ("/", "/"), ("", "")):
        made = await create(service, working_dir=asked)
        assert service.containers.get(made).config.working_dir == kept
