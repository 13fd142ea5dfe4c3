"""Read a benchmarking tool's JSON file; which names are systems is decided later."""

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
    """Return whether `data` looks like JSON: after white space it opens an object or a list."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def read(data: bytes, name: str) -> ToolFile:
    """Return the benchmarks in the JSON of a known tool. Raises ForeignError.

    Python's json accepts NaN, which pytest-benchmark and Google Benchmark write although JSON has none.
    """
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ForeignError(f"{name}: cut off or not JSON ({error}); write it again with its tool") from error
    for tool in _TOOLS:
        if isinstance(whole, dict) and tool.recognised(whole):
            found = tuple(_taken(name, tool.KIND, whole, tool.benchmarks))
            return ToolFile(name=name, kind=tool.KIND, caveat=tool.CAVEAT, benchmarks=found)
    there = ", ".join(list(whole)[:6]) if isinstance(whole, dict) else "a list"
    raise ForeignError(
        f"{name}: not JSON of a known tool (found: {there}): give hyperfine's --export-json, "
        "pytest-benchmark's --benchmark-json, Google Benchmark's --benchmark_out, or a CSV"
    )


def _taken(
    name: str, kind: str, whole: dict[str, Any], benchmarks: Callable[[Any], list[Benchmark]]
) -> list[Benchmark]:
    try:
        found = benchmarks(whole)
    except (msgspec.ValidationError, OverflowError) as error:
        raise ForeignError(f"{name}: {kind}, but in an unknown form: {error}; write it again") from error
    for one in found:
        if not one.values and not one.error:
            raise ForeignError(f"{name}: {one.name!r} has no single values: {one.advice}")
    if not found:
        raise ForeignError(f"{name}: {kind} without any benchmark; give one that was run")
    return found
