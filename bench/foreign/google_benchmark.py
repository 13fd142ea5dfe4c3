"""Google Benchmark's JSON: one value per repetition, all from one process. Times are converted from time_unit
to seconds, so that files with different units can be compared.

Fields as version 1.9 writes them (docs/user_guide.md, "Output Formats"): benchmarks[].name, .run_name,
.run_type ("iteration" or "aggregate"), .real_time, .time_unit, .error_occurred, .skipped. real_time is
judged: rates such as bytes_per_second are derived from times, and users' counters have no stated direction.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from bench.foreign.measured import Benchmark

CAVEAT = "from one process, so differences between processes are not included"
KIND = "Google Benchmark"

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}

_AGGREGATE = re.compile(r"_(mean|median|stddev|cv)$")
"""Names of aggregates in versions before 1.5, which do not write run_type."""


class _Repetition(msgspec.Struct):
    name: str
    run_name: str = ""
    run_type: str = ""
    real_time: float = float("nan")
    time_unit: Literal["ns", "us", "ms", "s"] = "ns"
    error_occurred: bool = False
    error_message: str = ""
    skipped: bool = False
    skip_message: str = ""


class _File(msgspec.Struct):
    benchmarks: tuple[_Repetition, ...]


def recognised(whole: dict[str, Any]) -> bool:
    """Return whether an object is from Google Benchmark."""
    return "context" in whole and isinstance(whole.get("benchmarks"), list)


def benchmarks(whole: dict[str, Any]) -> list[Benchmark]:
    """Return the benchmarks with their repetitions. Raises msgspec.ValidationError, which names the place."""
    runs: dict[str, list[_Repetition]] = {}
    for one in msgspec.convert(whole, _File).benchmarks:
        kept = runs.setdefault(one.run_name or _AGGREGATE.sub("", one.name), [])
        if not (one.run_type == "aggregate" or (not one.run_type and _AGGREGATE.search(one.name))):
            kept.append(one)
    return [_benchmark(name, found) for name, found in runs.items()]


def _benchmark(name: str, runs: list[_Repetition]) -> Benchmark:
    broken = [one for one in runs if one.error_occurred or one.skipped]
    error = next((one.error_message or one.skip_message or "skipped" for one in broken), "")
    named, plain = [], []
    for part in name.split("/"):
        key, colon, value = part.partition(":")
        if colon and key and value and not value.startswith(":"):
            named.append((key, value))
        else:
            plain.append(part)
    return Benchmark(
        name=name,
        values=() if broken else tuple(one.real_time * _SECONDS[one.time_unit] for one in runs),
        unit="s",
        stem="/".join(plain),
        parameters=dict(named),
        error=error,
        advice="repeat it with --benchmark_repetitions=10, without --benchmark_report_aggregates_only",
    )
