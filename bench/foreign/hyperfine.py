"""hyperfine's `--export-json`: every value is the time of a new process, in seconds.

Fields as hyperfine 1.19 writes them (src/benchmark/benchmark_result.rs): results[].command, .times,
.exit_codes (null for a run ended by a signal), .parameters.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bench.foreign.measured import Benchmark
from bench.judging.rows import count

CAVEAT = "measured one command after the other, so drift of the machine counts as a difference"
KIND = "hyperfine"


class _Result(msgspec.Struct):
    command: str
    times: tuple[float, ...] = ()
    exit_codes: tuple[int | None, ...] = ()
    parameters: dict[str, str] = {}


class _File(msgspec.Struct):
    results: tuple[_Result, ...]


def recognised(whole: dict[str, Any]) -> bool:
    """Return whether an object is from hyperfine: a list of results that name commands."""
    results = whole.get("results")
    return isinstance(results, list) and all(isinstance(one, dict) and "command" in one for one in results)


def benchmarks(whole: dict[str, Any]) -> list[Benchmark]:
    """Return the commands. Raises msgspec.ValidationError, which names the place."""
    return [
        Benchmark(
            name=one.command,
            values=one.times,
            unit="s",
            parameters=one.parameters,
            error=_failures(one),
            advice="export it again with --export-json, which keeps every time",
        )
        for one in msgspec.convert(whole, _File).results
    ]


def _failures(one: _Result) -> str:
    """Describe failed runs, which --ignore-failure keeps: a program that gave up early was not fast.

    One that ends with another status although it did its work has to say so, by `|| true`.
    """
    failed = sum(code != 0 for code in one.exit_codes)
    if not failed:
        return ""
    runs = count(len(one.exit_codes), "run")
    return f"{failed} of {runs} did not end with status 0 (if that is as it should be, add `|| true`)"
