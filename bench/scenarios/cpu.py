"""Processor: integer, floating point, cryptography; the cost of a system call and of a page fault."""

from __future__ import annotations

from bench.model import Metric, Role
from bench.scenarios import parsers
from bench.scenarios.tool import ToolSlice
from bench.scenarios.worker import Output

FAMILY = "cpu"
EVENTS = 500


def _metric(name: str, unit: str, role: Role, definition: str) -> Metric:
    return Metric(name=name, unit=unit, better="higher", role=role, definition=definition)


INTEGER = _metric(
    "cpu.integer",
    "events/s",
    "primary",
    f"Events per second of `sysbench cpu` by its own clock: {EVENTS} events in one thread, each the trial "
    "division of all numbers up to 10,000 (64-bit integer division and branches).",
)


def _integer(output: Output) -> dict[str, float]:
    return {INTEGER.name: parsers.sysbench_events(output.text)}


SCENARIOS = (
    ToolSlice(
        name="cpu.integer",
        family=FAMILY,
        metrics=(INTEGER,),
        argv=(
            "sysbench",
            "cpu",
            "--threads=1",
            "--time=0",
            f"--events={EVENTS}",
            "--cpu-max-prime=10000",
            "run",
        ),
        parse=_integer,
        cost_s=0.13,
    ),
)
