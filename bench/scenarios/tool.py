"""A slice that is one run of one well-known program: its command line, and how its own figures are read.

The command line is the same in every environment and its work is fixed, so that only the time can differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from bench.backends.base import InstanceSpec
from bench.model import Metric
from bench.scenarios.base import Context, Reading
from bench.scenarios.work import Work
from bench.scenarios.worker import Output, Worker

Command = Callable[[int], tuple[str, ...]]
"""Units of work → the whole command line that does them."""

Parse = Callable[[Output], Mapping[str, float]]
"""What a program printed → {metric: value}. Raises ParseError, which is turned into a ScenarioError."""

PIN = ("/opt/ninetynine/pin",)
"""Before a program of one thread, and a network's client: the lowest CPU that it may use, in every arm.

Left to the scheduler a slice is moved or not, by chance: slices of one host then differ by 5 instead of 2 %
(memory.bandwidth), by 1.9 instead of 0.2 to 0.9 % (cpu.integer).
"""

VOLUME = Path("/volume")
"""Stands in a spec for "a volume"; the measurement puts a directory of the run in its place."""


class ParseError(ValueError):
    """A program's output lacks a figure; the message says which."""


class ToolSlice(msgspec.Struct, kw_only=True):
    """One program, run once in the session's instance. See `bench.scenarios.base.Scenario`.

    `command` gives the command line that does so many `units` of work; `parse` reads figures per unit from
    its output. All have the same spec and so share one instance a session: without a network, and with the
    volume that the disk family needs.
    """

    name: str
    family: str
    metrics: tuple[Metric, ...]
    units: int
    command: Command
    parse: Parse
    cost_s: float
    every: int = 1
    loads: bool = True
    kind: Literal["slice", "instance"] = "slice"

    def spec(self) -> InstanceSpec:
        """The instance it runs in."""
        return InstanceSpec(volume=VOLUME)

    def run(self, context: Context) -> list[Reading]:
        """Run the program once. Raises ScenarioError with the program's words."""
        work = Work(self.units, context.extra)
        output = Worker.of(context).run(self.command(work.done))
        return work.nominal(readings(output, self.parse), self.metrics)


def readings(output: Output, parse: Parse) -> list[Reading]:
    """Parse an output into readings that carry its host stamps."""
    try:
        values = parse(output)
    except ParseError as error:
        raise output.error(str(error)) from error
    return [
        Reading(metric=metric, value=value, start_ns=output.start_ns, duration_ns=output.duration_ns)
        for metric, value in values.items()
    ]


def positive(value: float, what: str) -> float:
    """Return `value`, which has to be a finite number above 0. Raises ParseError."""
    if not 0.0 < value < float("inf"):
        raise ParseError(f"{what} is {value}, expected a number above 0")
    return value
