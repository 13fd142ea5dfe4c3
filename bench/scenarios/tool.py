"""A slice that runs one well-known program: its command line, and how its figures are read.

The command line is the same for every arm and the work is fixed, so that only the time can differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.scenarios.base import Context, Reading, Workload
from bench.scenarios.work import Work
from bench.scenarios.worker import Output, Worker

Command = Callable[[int], tuple[str, ...]]
"""Returns the command line for so many units of work."""

Parse = Callable[[Output], Mapping[str, float]]
"""Parses a program's output into {metric: value}. Raises ParseError, which becomes a ScenarioError."""

PIN = ("/opt/ninetynine/pin",)
"""Runs a program of one thread, or a network client, on the lowest CPU that it may use, in every arm.

The scheduler would move some slices and not others: slices of one host then differ by 5 instead of 2 %
(memory.bandwidth), by 1.9 instead of 0.2 to 0.9 % (cpu.integer).
"""


class ParseError(ValueError):
    """A figure is missing in a program's output; the message names it."""


class ToolSlice(Workload, kw_only=True):
    """One program, run once in the session's instance.

    `command` returns the command line for so many `units` of work; `parse` reads the figures per unit from
    its output.
    """

    units: int
    command: Command
    parse: Parse
    scales_work: bool = True

    def run(self, context: Context) -> list[Reading]:
        """Run the program once. Raises ScenarioError with the program's output."""
        work = Work(self.units, context.extra)
        output = Worker.of(context).run(self.command(work.done))
        return work.nominal(readings(output, self.parse), self.metrics)


class ScriptSlice(Workload, kw_only=True):
    """Shell text, run once in the session's instance; `parse` reads the figures from its output."""

    script: str
    parse: Parse

    def run(self, context: Context) -> list[Reading]:
        """Run it once. Raises ScenarioError with its output."""
        return readings(Worker.of(context).script(self.script), self.parse)


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
    """Return `value`, which must be finite and above 0. Raises ParseError."""
    if not 0.0 < value < float("inf"):
        raise ParseError(f"{what} is {value}, expected a number above 0")
    return value
