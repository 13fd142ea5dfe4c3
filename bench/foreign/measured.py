"""The benchmarks in a tool's file, in a form common to all tools."""

from __future__ import annotations

import msgspec


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """The times of one benchmark of a file; less is better.

    name: as the tool prints it. group: compare only within it. stem and parameters: the parts of the name.
    error: the tool's reason for having no value. advice: how to get values if there are none.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    group: str = "time"
    stem: str = "time"
    parameters: dict[str, str] = {}
    remark: str = ""
    error: str = ""
    advice: str = "run it again"


class ToolFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a tool: its name for messages, the tool, and its benchmarks in order.

    caveat: what a file of this tool cannot show.
    """

    name: str
    kind: str
    caveat: str
    benchmarks: tuple[Benchmark, ...]
