"""What `top` and `stats` tell."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.engine.errors import BadParameterError, ConflictError, EngineError, NotFoundError
from runtime.engine.service.processes import stats as stats_module
from runtime.engine.service.processes.stats import MEMORY_V1, MEMORY_V2, NEVER, host_cpu_ns, stats
from runtime.engine.service.processes.top import parse, top
from runtime.engine.service.records.waiters import Ended
from runtime.engine.spawner.protocol import Usage
from runtime.engine.spawner.usage import v2_rows
from tests.runtime.engine.service.stdio.stream_fakes import ID, NAME, record, service_of

USAGE = Usage(
    cpu_ns=300,
    cpu_user_ns=200,
    cpu_system_ns=100,
    memory_bytes=1000,
    memory_max=5000,
    memory_stat={"total_rss": 7, "inactive_file": 10, "total_inactive_file": 20, "shmem": 3},
    memory_peak=2000,
    pids=2,
    pids_max=None,
    interfaces={"eth0": (1, 2, 3, 4, 5, 6, 7, 8)},
    cpu_each_ns=(250, 50),
    io_tables={
        "io_service_bytes_recursive": ((8, 0, "Read", 4096),),
        "io_serviced_recursive": ((8, 0, "Read", 1),),
    },
)
USAGE_V2 = msgspec.structs.replace(
    USAGE,
    memory_stat={"anon": 7, "inactive_file": 10, "zswap": 3},
    memory_peak=None,
    memory_refused=4,
    cpu_each_ns=(),
    io_tables={"io_service_bytes_recursive": v2_rows("8:0 rbytes=4096 wbytes=1 rios=1\n254:3 \n")},
)
"""As a spawner on pure cgroup v2 tells it."""


@pytest.fixture
def service(tmp_path: Path) -> Any:
    return service_of(tmp_path, record())


# ---- top --------------------------------------------------------------------------------------------------


def test_only_the_containers_processes_are_shown(service):
    with subprocess.Popen(["sleep", "1000"]) as one, subprocess.Popen(["sleep", "1001"]) as other:
        try:
            service.spawner.all_pids = (one.pid,)
            found = asyncio.run(top(service, NAME))
            assert found.titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
            assert [(row[1], row[-1]) for row in found.processes] == [(str(one.pid), "sleep 1000")]
            found = asyncio.run(top(service, NAME, "axf -o pid,cmd"))  # ps refuses f with a choice of pids
            assert [row[0] for row in found.processes] == [str(one.pid)]
            assert service.containers.told[0] == ("top", {})
        finally:
            one.kill()
            other.kill()


def test_threads_belong_to_the_row_above():
    text = "PID COMMAND\n1 init\n- -\n7 box a  b\n- thread\n8 other\n- theirs\n"
    assert parse(text, {7}).processes == [["7", "box a b"], ["-", "thread"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-o cmd", "Couldn't find PID field in ps output"),
        ("-o pid,cmd -o ppid=PID", 'specifying "ppid=PID" is not allowed'),
        ("--nonsense", "ps: error"),
    ],
)
def test_arguments_that_make_no_sense(service, arguments: str, message: str):
    service.spawner.all_pids = (os.getpid(),)
    with pytest.raises(BadParameterError, match=message):
        asyncio.run(top(service, NAME, arguments))


def test_only_what_runs_has_processes(service):
    service.containers.record = record(status="exited")
    with pytest.raises(ConflictError, match=f"container {ID} is not running"):
        asyncio.run(top(service, NAME))


# ---- stats ------------------------------------------------------------------------------------------------


def first(service: Any, count: int = 1, **options: Any) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        documents = stats(service, NAME, **options)
        async for document in documents:
            found.append(document)
            if len(found) == count:
                await documents.aclose()  # type: ignore[attr-defined]
                break
        return found

    return asyncio.run(collect())


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(stats_module, "INTERVAL_S", 0.0)


def test_a_document_has_what_dockers_clients_compute_with(service):
    service.spawner.usages = [USAGE]
    (found,) = first(service, stream=False, one_shot=True)
    assert found["name"] == "/box"
    assert found["preread"] == NEVER
    assert found["cpu_stats"]["cpu_usage"] == {
        "total_usage": 300,
        "usage_in_kernelmode": 100,
        "usage_in_usermode": 200,
        "percpu_usage": (250, 50),
    }
    assert found["cpu_stats"]["online_cpus"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert found["cpu_stats"]["system_cpu_usage"] > 0
    memory = found["memory_stats"]
    assert memory == {"usage": 1000, "max_usage": 2000, "stats": memory["stats"], "limit": 5000}
    assert (len(memory["stats"]), memory["stats"].keys()) == (32, set(MEMORY_V1))
    assert {key: value for key, value in memory["stats"].items() if value} == {
        "total_rss": 7, "inactive_file": 10, "total_inactive_file": 20,
    }  # fmt: skip
    assert found["pids_stats"] == {"current": 2}
    assert found["networks"]["eth0"]["rx_bytes"] == 1
    assert found["networks"]["eth0"]["tx_dropped"] == 8
    row = {"major": 8, "minor": 0, "op": "Read"}
    assert found["blkio_stats"].pop("io_service_bytes_recursive") == [row | {"value": 4096}]
    assert found["blkio_stats"].pop("io_serviced_recursive") == [row | {"value": 1}]
    assert list(found["blkio_stats"].values()) == [[]] * 6


def test_a_document_of_cgroup_v2_is_as_dockerd_makes_it(service):
    service.spawner.usages = [USAGE_V2]
    (found,) = first(service, stream=False, one_shot=True)
    memory = found["memory_stats"]
    assert memory == {"usage": 1000, "failcnt": 4, "stats": memory["stats"], "limit": 5000}
    assert (memory["stats"].keys(), memory["stats"]["inactive_file"]) == (set(MEMORY_V2), 10)
    assert "percpu_usage" not in found["cpu_stats"]["cpu_usage"]
    rows = [tuple(row.values()) for row in found["blkio_stats"].pop("io_service_bytes_recursive")]
    assert rows == [(8, 0, "read", 4096), (8, 0, "write", 1), (254, 3, "read", 0), (254, 3, "write", 0)]
    assert list(found["blkio_stats"].values()) == [None] * 7


def test_more_memory_than_the_host_has_is_not_a_limit(service):
    service.spawner.usages = [msgspec.structs.replace(USAGE, memory_max=1 << 60)]
    (found,) = first(service, stream=False, one_shot=True)
    assert found["memory_stats"]["limit"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_without_a_stream_there_is_a_look_before(service):
    service.spawner.usages = [USAGE, USAGE]
    (found,) = first(service, stream=False)
    assert found["precpu_stats"]["cpu_usage"]["total_usage"] == 300
    assert found["preread"] != NEVER


def test_a_stream_goes_on(service):
    service.spawner.usages = [USAGE] * 3
    found = first(service, 3)
    assert [one["preread"] for one in found[1:]] == [one["read"] for one in found[:2]]


def test_a_container_that_does_not_run_has_an_empty_one(service, monkeypatch):
    async def gone(_: str) -> Usage:
        raise EngineError("it has just ended")

    for status in ("exited", "running"):
        service.containers.record = record(status=status)
        monkeypatch.setattr(service.spawner, "usage", gone)
        (found,) = first(service, 1)
        assert found["read"] == NEVER
        assert found["memory_stats"] == found["pids_stats"] == {}
        assert found["cpu_stats"]["cpu_usage"]["total_usage"] == 0


def test_an_unknown_container_is_refused_at_once(service):
    with pytest.raises(NotFoundError):
        stats(service, "other")


def test_a_stream_ends_with_the_container_and_not_a_second_later(service, monkeypatch):
    monkeypatch.setattr(stats_module, "INTERVAL_S", 1000.0)
    service.spawner.usages = [USAGE]

    async def collect() -> int:
        count = 0
        async for _ in stats(service, NAME):
            count += 1
            asyncio.get_running_loop().call_soon(service.containers.waiters.removed, Ended(0))
        return count

    assert asyncio.run(asyncio.wait_for(collect(), 60)) == 1


def test_a_stream_that_is_left_waits_for_nothing_any_more(service):
    service.spawner.usages = [USAGE]
    first(service)
    assert not service.containers.waiters._futures["removed"]


def test_the_hosts_time_is_the_sum_of_what_the_kernel_counts():
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert host_cpu_ns("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n") == 28 * tick
