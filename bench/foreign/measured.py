"""The benchmarks of one tool's file, in the words that all tools share."""

from __future__ import annotations

import msgspec


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark of a file took, less being better.

    name: as the tool prints it. group: what it may be compared within. stem and parameters: the name in its
    parts. error: the tool's own words of why there is no value. advice: how to get values where none are.
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
    """A file of a tool: its name for messages, the tool, and its benchmarks in their order.

    caveat: what one file of the tool cannot show.
    """

    name: str
    kind: str
    caveat: str
    benchmarks: tuple[Benchmark, ...]
