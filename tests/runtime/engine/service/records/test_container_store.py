"""Containers on disk: what is half-made, damaged, or had no room."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from runtime.engine.service.records import store, table
from runtime.spawn import durable
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    create,
    open_service,
    reopened,
    settle,
)
from tests.waiting import in_loop


@in_loop
async def test_half_made_and_half_removed_directories_are_removed(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    containers = tmp_path / "containers"
    for name in ("5" * 64, "6" * 64, "7" * 64, f".gone-{made}-1"):
        (containers / name / "layer" / "u").mkdir(parents=True)
    (containers / ("6" * 64) / "record.json").touch()
    (containers / ("7" * 64) / "record.json").write_bytes(bytes(512))
    (containers / "file").touch()
    after = reopened(service)
    await after.containers.open()
    assert [path.name for path in containers.iterdir()] == [made]


@in_loop
async def test_what_has_a_damaged_record_is_reported_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    service = await open_service(tmp_path)
    whole, cut, strange = [await create(service, name) for name in ("whole", "cut", "strange")]
    containers = tmp_path / "containers"
    record = (containers / cut / "record.json").read_bytes()
    (containers / cut / "record.json").write_bytes(record[: len(record) // 2])
    (containers / strange / "record.json").write_bytes(record)
    (containers / whole / "state.json").write_text('{"state": ')
    after = reopened(service)
    await after.containers.open()
    assert [one.name for one in after.containers.list(all=True)] == ["whole"]
    assert {path.name for path in containers.iterdir()} == {whole, cut, strange}
    assert f"repair {containers / cut}/record.json" in caplog.text
    assert f"it is of container {cut}" in caplog.text
    assert f"state of container {whole} cannot be read" in caplog.text
    await create(after, "cut")  # its name is free


@in_loop
async def test_a_state_that_a_full_disk_has_no_room_for_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    monkeypatch.setattr(table, "_SAVE_AGAIN_S", 0)
    put, refused = durable.replace_file, []

    def full(target: Path, data: bytes, *, sync: bool) -> None:
        if len(refused) < 3:
            refused.append(target)
            raise OSError(errno.ENOSPC, "No space left on device")
        put(target, data, sync=sync)

    monkeypatch.setattr(store, "replace_file", full)
    await service.containers.start("web")
    path = tmp_path / "containers" / made / "state.json"
    await settle(path.exists)
    assert refused == [path] * 3
    after = reopened(service)
    await after.containers.open()
    assert after.containers.get("web").state.status == "running"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "state.json"
    durable.replace_file(target, b"old", sync=False)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        durable.replace_file(target, b"new", sync=False)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert target.read_bytes() == b"old"
