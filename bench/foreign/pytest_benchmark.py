"""pytest-benchmark's `--benchmark-json`: rounds in one process, seconds per iteration.

Fields as version 5 writes them: benchmarks[].name, .fullname, .group, .params, .stats.data. Files of
`--benchmark-autosave` and `--benchmark-save` have no data without `--benchmark-save-data`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from bench.foreign.measured import Benchmark

CAVEAT = "from one process, so differences between processes are not included"
KIND = "pytest-benchmark"


class _Stats(msgspec.Struct):
    data: tuple[float, ...] = ()


class _Entry(msgspec.Struct):
    name: str
    fullname: str
    stats: _Stats
    group: str | None = None
    params: dict[str, Any] | None = None


class _File(msgspec.Struct):
    benchmarks: tuple[_Entry, ...]


def recognised(whole: dict[str, Any]) -> bool:
    """Return whether an object is from pytest-benchmark."""
    return "machine_info" in whole and isinstance(whole.get("benchmarks"), list)


def benchmarks(whole: dict[str, Any]) -> list[Benchmark]:
    """Return the benchmarks, with full names where two have the same. Raises msgspec.ValidationError."""
    found = msgspec.convert(whole, _File).benchmarks
    names = Counter(one.name for one in found)
    return [
        Benchmark(
            name=one.name if names[one.name] == 1 else one.fullname,
            values=one.stats.data,
            unit="s",
            group=one.group or "time",
            stem=one.name.partition("[")[0],
            parameters={str(key): str(value) for key, value in (one.params or {}).items()},
            advice="write them with --benchmark-json, or --benchmark-save with --benchmark-save-data",
        )
        for one in found
    ]
