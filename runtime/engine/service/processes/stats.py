"""What a container uses, each second, as Docker's JSON."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.docker_syntax.times import NEVER, text_of
from runtime.engine.errors import EngineError, NotFoundError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.spawner.protocol import Usage

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

INTERVAL_S = 1.0
_COUNTERS = (
    "rx_bytes",
    "rx_packets",
    "rx_errors",
    "rx_dropped",
    "tx_bytes",
    "tx_packets",
    "tx_errors",
    "tx_dropped",
)
_IO_TABLES = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
_V1_OWN = (
    *("cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault"),
    *("pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"),
)
MEMORY_V1 = (
    *_V1_OWN,
    *(f"total_{name}" for name in _V1_OWN),
    *("hierarchical_memory_limit", "hierarchical_memsw_limit"),
)
MEMORY_V2 = (
    *("anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty"),
    *("file_writeback", "anon_thp", "inactive_anon", "active_anon", "inactive_file", "active_file"),
    *("unevictable", "slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault"),
    *("workingset_refault", "workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan"),
    *("pgsteal", "pgactivate", "pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc"),
    "thp_collapse_alloc",
)
"""The fields of memory.stat that dockerd shows; 0 where the kernel lacks one."""


def stats(
    service: Service, ref: str, *, stream: bool = True, one_shot: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Yield a document a second until the container is removed; without `stream` one, of one second's work.

    one_shot: at once, without a first look to compare with. A container that does not run has an empty one.
    Raises NotFoundError at once, not at the first item.
    """
    record = service.containers.get(ref)
    return _documents(service, record.id, stream=stream, one_shot=one_shot)


async def _documents(
    service: Service,
    ref: str,
    *,
    stream: bool,
    one_shot: bool,
) -> AsyncIterator[dict[str, Any]]:
    before: dict[str, Any] = {}
    try:
        removed = service.containers.subscribe_wait(ref, "removed")
    except NotFoundError:
        return
    try:
        while not removed.done():
            try:
                record = service.containers.get(ref)
            except NotFoundError:  # it is being removed
                return
            document = await _document(service, record)
            document["preread"] = before.get("read", NEVER)
            document["precpu_stats"] = before.get("cpu_stats", _cpu(None))
            if stream or one_shot or before or not record.state.running:
                yield document
                if not stream:
                    return
            before = document
            await asyncio.wait((removed,), timeout=INTERVAL_S)
    finally:
        removed.cancel()


async def _document(service: Service, record: ContainerRecord) -> dict[str, Any]:
    usage: Usage | None = None
    if record.state.running:
        try:
            usage = await service.spawner.usage(record.id)
        except EngineError:  # it has ended a moment ago
            usage = None
    document: dict[str, Any] = {
        "read": text_of(time.time_ns()) if usage else NEVER,
        "preread": NEVER,
        "pids_stats": _pids(usage),
        "blkio_stats": _blkio(usage),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(usage),
        "precpu_stats": {},
        "memory_stats": _memory(usage),
        "name": f"/{record.name}",
        "id": record.id,
    }
    if usage and usage.interfaces:
        document["networks"] = {
            name: dict(zip(_COUNTERS, counts, strict=False)) for name, counts in usage.interfaces.items()
        }
    return document


def _cpu(usage: Usage | None) -> dict[str, Any]:
    """The container's processor time beside the host's, both in ns."""
    found: dict[str, Any] = {
        "cpu_usage": {
            "total_usage": usage.cpu_ns if usage else 0,
            "usage_in_kernelmode": usage.cpu_system_ns if usage else 0,
            "usage_in_usermode": usage.cpu_user_ns if usage else 0,
            **({"percpu_usage": usage.cpu_each_ns} if usage and usage.cpu_each_ns else {}),
        },
        "throttling_data": {
            "periods": usage.periods if usage else 0,
            "throttled_periods": usage.throttled_periods if usage else 0,
            "throttled_time": usage.throttled_ns if usage else 0,
        },
    }
    if usage:
        found["system_cpu_usage"] = host_cpu_ns(Path("/proc/stat").read_text("ascii"))
        found["online_cpus"] = os.sysconf("SC_NPROCESSORS_ONLN")
    return found


def host_cpu_ns(text: str) -> int:
    """Return the time all processors have spent, idle too, by the first line of /proc/stat."""
    ticks = sum(map(int, text.split("\n", 1)[0].split()[1:8]))
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _memory(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    table = usage.memory_stat
    names = MEMORY_V1 if "total_rss" in table else MEMORY_V2
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found: dict[str, Any] = {
        "usage": usage.memory_bytes,
        "stats": {name: table.get(name, 0) for name in names},
        "limit": min(usage.memory_max or host, host),
    }
    if usage.memory_peak is not None:
        found["max_usage"] = usage.memory_peak
    if usage.memory_refused:
        found["failcnt"] = usage.memory_refused
    return found


def _pids(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    limit = {} if usage.pids_max is None else {"limit": usage.pids_max}
    return {"current": usage.pids, **limit}


def _blkio(usage: Usage | None) -> dict[str, Any]:
    """All tables; one without rows is empty on v1 and null on v2, as with dockerd."""
    tables = usage.io_tables if usage else {}
    keys = ("major", "minor", "op", "value")
    rows = {name: [dict(zip(keys, row, strict=True)) for row in table] for name, table in tables.items()}
    none: list[Any] | None = [] if "io_serviced_recursive" in tables else None
    return {name: rows.get(name) or none for name in _IO_TABLES}
