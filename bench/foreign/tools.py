"""What a benchmarking tool's file says, before it is decided which names are systems and which metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from bench.foreign import google_benchmark, hyperfine, pytest_benchmark
from bench.foreign.measured import Benchmark, ToolFile
from bench.foreign.table import ForeignError

_TOOLS = (hyperfine, pytest_benchmark, google_benchmark)


def looks_like_json(data: bytes) -> bool:
    """Whether to take `data` for JSON: its first character that is no space opens an object or a list."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def read(data: bytes, name: str) -> ToolFile:
    """The benchmarks in the JSON of a tool we know. Raises ForeignError.

    Python's own reader, since both pytest-benchmark and Google Benchmark write NaN where JSON has none.
    """
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ForeignError(f"{name}: cut off or no JSON ({error}); write it again with its tool") from error
    for tool in _TOOLS:
        if isinstance(whole, dict) and tool.recognised(whole):
            found = tuple(_taken(name, tool.KIND, whole, tool.benchmarks))
            return ToolFile(name=name, kind=tool.KIND, caveat=tool.CAVEAT, benchmarks=found)
    there = ", ".join(list(whole)[:6]) if isinstance(whole, dict) else "a list"
    raise ForeignError(
        f"{name}: JSON of no tool we know (found: {there}): give hyperfine's --export-json, "
        "pytest-benchmark's --benchmark-json, Google Benchmark's --benchmark_out, or a CSV"
    )


def _taken(
    name: str, kind: str, whole: dict[str, Any], benchmarks: Callable[[Any], list[Benchmark]]
) -> list[Benchmark]:
    try:
        found = benchmarks(whole)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ForeignError(f"{name}: {kind}, but not as we know it: {error}; write it again") from error
    for one in found:
        if not one.values and not one.error:
            raise ForeignError(f"{name}: {one.name!r} has no single values: {one.advice}")
    if not found:
        raise ForeignError(f"{name}: {kind} without any benchmark; give one that was run")
    return found
