"""A slice that runs one well-known program: its command line, and how its figures are read.

The command line is the same for every arm and the work is fixed, so that only the time can differ.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence

import msgspec

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


BY_TURNS = " By turns: over the CPU time that the kernel counted for the program, less a start's."
"""In a metric's definition: what its figure is where arms run by turns."""

_ACCOUNT = re.compile(r'\n\{"cpu_ns": ([0-9]+), "on_ns": ([0-9]+), "turns": [0-9]+\}\n\Z')


class ParseError(ValueError):
    """A figure is missing in a program's output; the message names it."""


class ToolSlice(Workload, kw_only=True):
    """One program, run once in the session's instance.

    `command` returns the command line for so many `units` of work; `parse` reads the figures per unit from
    its output. Where arms run by turns, the figure is a rate: `amount` of work in a unit, over the CPU time
    of the program less that of one that does a single unit; a program that counts its own CPU time is read
    by `parse_cpu` instead.
    """

    units: int
    command: Command
    parse: Parse
    amount: float = 0.0
    parse_cpu: Parse | None = None
    scales_work: bool = True

    def run(self, context: Context) -> list[Reading]:
        """Run the program once. Raises ScenarioError with the program's output."""
        work = Work(self.units, context.extra)
        argv, worker = self.command(work.done), Worker.of(context)
        if context.turns is None:
            found = readings(worker.run(argv), self.parse)
        elif self.parse_cpu is not None:
            output, share = share_of(worker.run((*context.turns.argv, *argv)))
            found = lasting(readings(output, self.parse_cpu), share)
        else:
            found = rate_by_turns(context, self.name, self.command, work.done, self.amount, self.parse)
        return work.nominal(found, self.metrics)


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


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What turns.c counted for a program that ran by turns: its CPU time from execve to end, and the time
    that it was allowed to run."""

    cpu_ns: int
    on_ns: int


def share_of(output: Output) -> tuple[Output, Share]:
    """What a program printed that ran by turns, and its account. Raises ScenarioError without one."""
    found = _ACCOUNT.search(output.text)
    if found is None:
        raise output.error("no account of its turns in the output")
    return (
        msgspec.structs.replace(output, text=output.text[: found.start()]),
        Share(cpu_ns=int(found[1]), on_ns=int(found[2])),
    )


def lasting(own: Sequence[Reading], share: Share) -> list[Reading]:
    """Readings that last as long as the program was allowed to run: what it waited for then shows beside a
    figure that holds none of it."""
    return [msgspec.structs.replace(one, duration_ns=share.on_ns) for one in own]


def rate_by_turns(
    context: Context, name: str, command: Command, units: int, amount: float, parse: Parse
) -> list[Reading]:
    """Units of work over the CPU time of a program by turns, less its start's.

    A start (page faults, loading) costs a container a fifth more than the host, which is not what is asked:
    so one unit alone is run each time as well, and the median in this instance is subtracted. Raises
    ScenarioError, also where the work took no longer than a start.
    """
    assert context.turns is not None
    worker = Worker.of(context)
    _, start = share_of(worker.run((*context.turns.argv, *command(1))))
    starts = context.starts.setdefault(name, [])
    starts.append(start.cpu_ns)
    output, share = share_of(worker.run((*context.turns.argv, *command(units))))
    work_ns = share.cpu_ns - statistics.median(starts)
    if work_ns <= 0:
        raise output.error(f"{units} units took {share.cpu_ns} ns of CPU time, no more than one")
    rate = (units - 1) * amount / (work_ns / 1e9)
    own = lasting(readings(output, parse), share)
    return [msgspec.structs.replace(one, value=rate) for one in own]


def positive(value: float, what: str) -> float:
    """Return `value`, which must be finite and above 0. Raises ParseError."""
    if not 0.0 < value < float("inf"):
        raise ParseError(f"{what} is {value}, expected a number above 0")
    return value
