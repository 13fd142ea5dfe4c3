"""Parse the output of the tools. Pure functions on the text of one run; ParseError names what is missing.

Checked with recorded output of sysbench 1.0.20, stress-ng 0.19, dd (coreutils 9), iperf 3.18, fio 3.39.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bench.scenarios.tool import ParseError, positive

# Each pattern requires text after the figure: output that was cut off may end inside a number.
_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
_EVENTS = re.compile(rf"events per second:\s+{_NUMBER}\n")
_MEMORY = re.compile(rf"MiB transferred \({_NUMBER} MiB/sec\)")
_BOGO = re.compile(rf"bogo-ops-per-second-real-time:\s+{_NUMBER}\n")
_BOGO_CPU = re.compile(rf"bogo-ops-per-second-usr-sys-time:\s+{_NUMBER}\n")
_KEY = re.compile(r"^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$", re.MULTILINE)
_DD = re.compile(rf"^([0-9]+) bytes .*copied, {_NUMBER} s, ", re.MULTILINE)


def sysbench_events(text: str) -> float:
    """Events per second of `sysbench cpu`."""
    return _one(_EVENTS, text, "sysbench's events per second")


def sysbench_memory(text: str) -> float:
    """MiB per second of `sysbench memory`."""
    return _one(_MEMORY, text, "sysbench's MiB/sec")


def stress_ng_rate(text: str) -> float:
    """Bogus operations per second of real time, of the one stressor in stress-ng's YAML."""
    return _one(_BOGO, text, "stress-ng's bogo-ops-per-second-real-time")


def stress_ng_cpu_rate(text: str) -> float:
    """The same per second of CPU time, which stress-ng counts from the stressor's start on, not its own."""
    return _one(_BOGO_CPU, text, "stress-ng's bogo-ops-per-second-usr-sys-time")


def dd_blocks(text: str, block_bytes: int) -> float:
    """Blocks per second by dd's own clock."""
    found = _DD.search(text)
    if found is None:
        raise ParseError("no line of dd with bytes and seconds copied")
    return positive(int(found[1]) / block_bytes / positive(float(found[2]), "dd's time"), "dd's rate")


def derived_key(text: str) -> str:
    """Return the 32-byte key that `openssl kdf` printed, as proof that it did the work."""
    found = _KEY.search(text)
    if found is None:
        raise ParseError("no 32-byte key of openssl kdf in the output")
    return found[0]


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a tool's output; lines around it are ignored."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])
    except ValueError as error:
        raise ParseError(f"no JSON object in the output: {error}") from error
    if not isinstance(found, dict):
        raise ParseError("the JSON in the output is not an object")
    return found


def iperf3_received(text: str) -> float:
    """Return the receiver's bits per second, from `iperf3 -J`. Raises ParseError with iperf3's own error."""
    tree = json_object(text)
    if "error" in tree:
        raise ParseError(f"iperf3 says: {tree['error']}")
    return number(tree, "end", "sum_received", "bits_per_second")


def fio_jobs(text: str) -> dict[str, Any]:
    """Return the jobs of fio's JSON by name. Raises ParseError, also if a job ended with an error."""
    jobs = json_object(text).get("jobs")
    if not isinstance(jobs, list):
        raise ParseError("no jobs in fio's output")
    found = {}
    for job in jobs:
        if not isinstance(job, dict) or not isinstance(job.get("jobname"), str):
            raise ParseError("a job without a name in fio's output")
        if job.get("error"):
            raise ParseError(f"fio's job {job['jobname']} ended with error {job['error']}")
        found[job["jobname"]] = job
    return found


def fio_rate(jobs: dict[str, Any], name: str, action: str) -> float:
    """Return operations per second of a job's reads or writes: the inverse of their mean latency.

    fio's own `iops` divides by a run time in whole milliseconds, which includes the other action.
    """
    return 1e9 / number(jobs, name, action, "lat_ns", "mean")


def number(tree: Any, *path: str | int) -> float:
    """Return the positive number at `path` of a JSON tree. Raises ParseError with the path."""
    where = ".".join(map(str, path))
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError) as error:
            raise ParseError(f"no {where} in the output") from error
    if isinstance(tree, bool) or not isinstance(tree, int | float):
        raise ParseError(f"{where} is {tree!r}, expected a number")
    return positive(float(tree), where)


def _one(pattern: re.Pattern[str], text: str, what: str) -> float:
    found = pattern.search(text)
    if found is None:
        raise ParseError(f"no {what} in the output")
    return positive(float(found[1]), what)
