"""Join several files into one table: which names are systems, which are metrics, what is a session.

`NAME=FILE` gives a file to the system NAME, and its benchmarks are the metrics. Without a name: a CSV or
Parquet file names its systems itself; hyperfine's commands are systems; with another tool, the benchmarks of
a single file are the systems, and of several files each is a system. If several files have the same metric of
a system, each file is a session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np
import pandas as pd

from bench.foreign import delimited, hyperfine, parquet, sources, tools
from bench.foreign.measured import Benchmark, ToolFile
from bench.foreign.sources import Source
from bench.foreign.table import ChoiceError, ForeignError, Table, clean
from bench.judging.rows import join

K = TypeVar("K", bound=Hashable)


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file's table, and its session number among files of the same system."""

    table: Table
    number: int


def gather(typed: list[str], by: str = "") -> Table:
    """Read all files into one table. by: the parameter whose values name the systems. Raises ForeignError."""
    return joined(recognise(sources.load(typed)), by)


def recognise(found: Sequence[Source]) -> list[tuple[Source, Table | ToolFile]]:
    """Return each file with its recognised content. Raises ForeignError for a copy of a tool's file."""
    files = [(one, _recognised(one)) for one in found]
    seen: dict[bytes, str] = {}
    for source, content in files:
        if isinstance(content, ToolFile) and seen.setdefault(source.data, source.name) != source.name:
            raise ForeignError(
                f"{source.name}: the same as {seen[source.data]}, byte for byte; "
                "leave it out, a copy is not another measurement"
            )
    return files


def joined(files: Sequence[tuple[Source, Table | ToolFile]], by: str = "") -> Table:
    """Join the samples of all files."""
    if by and not any(isinstance(content, ToolFile) for _, content in files):
        raise ChoiceError(f"--by {by}: a table names its systems itself; leave out --by")
    parts = list(_parts(files, by))
    frames = _with_sessions(parts)
    kinds = Counter(part.table.kind for part in parts)
    return Table(
        frame=pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0],
        kind=", ".join(
            kind if number == 1 else f"{number} files of {kind}" for kind, number in kinds.items()
        ),
        remarks=_merged(part.table.remarks for part in parts),
        broken=_merged(part.table.broken for part in parts),
        caveats=_merged(part.table.caveats for part in parts),
        crossed=all(part.table.crossed for part in parts),
    )


def _recognised(source: Source) -> Table | ToolFile:
    if source.data.startswith(parquet.MAGIC):
        return parquet.read(source.data, source.name, source.system)
    if tools.looks_like_json(source.data):
        return tools.read(source.data, source.name)
    return delimited.read(source.data, source.name, source.system)


def _parts(files: Sequence[tuple[Source, Table | ToolFile]], by: str) -> Iterator[_Part]:
    """Yield tables with their session number: among files of the same name if named, else among all."""
    seen: Counter[str] = Counter()
    stems = Counter(source.stem for source, _ in files)
    for place, (source, content) in enumerate(files, start=1):
        system = source.system
        if isinstance(content, Table):
            table = content
        else:
            if not (system or by) and content.kind != hyperfine.KIND and len(files) > 1:
                system = source.stem if stems[source.stem] == 1 else source.name
            table = _named(content, system, by)
        seen[system] += 1
        yield _Part(table=table, number=seen[system] if system else place)


def _named(file: ToolFile, system: str, by: str) -> Table:
    """Turn a tool's benchmarks into rows, once it is known what names the system."""
    rows = [(*_names(file, one, system, by), one) for one in file.benchmarks]
    sizes = [max(1, len(one.values)) for *_, one in rows]
    values = [value for *_, one in rows for value in (one.values or (float("nan"),))]
    frame = pd.DataFrame({"value": np.array(values, dtype=np.float64)})
    frame["metric"] = np.repeat(np.array([metric for metric, *_ in rows], dtype=object), sizes)
    frame["system"] = np.repeat(np.array([name for _, name, _ in rows], dtype=object), sizes)
    frame["unit"] = np.repeat(np.array([one.unit for *_, one in rows], dtype=object), sizes)
    frame = frame.assign(session="", block="", better="lower", place=f"{file.name}: value")
    frame["row"] = np.concatenate([np.arange(1, size + 1) for size in sizes])
    return Table(
        frame=frame,
        kind=file.kind,
        remarks={(metric, name): one.remark for metric, name, one in rows if one.remark},
        broken={(metric, name): one.error for metric, name, one in rows if one.error},
        caveats={metric: file.caveat for metric, *_ in rows if file.caveat},
        crossed=bool(system or by),
    )


def _names(file: ToolFile, one: Benchmark, system: str, by: str) -> tuple[str, str]:
    """Return (metric, system) of a benchmark."""
    if by:
        if by not in one.parameters:
            there = ", ".join(one.parameters) or "none"
            raise ChoiceError(f"{file.name}: {one.name!r} has no parameter {by!r} (it has: {there})")
        rest = ", ".join(f"{key}={value}" for key, value in one.parameters.items() if key != by)
        return clean(f"{one.stem}[{rest}]" if rest else one.stem), clean(one.parameters[by])
    if not system:
        return clean(one.group), clean(one.name)
    # If a file has a single command, its text may differ from the other files' and is not the metric.
    lone = file.kind == hyperfine.KIND and len(file.benchmarks) == 1
    return clean(one.group if lone else one.name), system


def _merged(notes: Iterable[dict[K, str]]) -> dict[K, str]:
    """Join the notes on each metric, or metric and system, from all files, without repetitions."""
    found: dict[K, dict[str, None]] = {}
    for one in notes:
        for key, text in one.items():
            found.setdefault(key, {})[text] = None
    return {key: join(*texts) for key, texts in found.items()}


def _with_sessions(parts: Sequence[_Part]) -> list[pd.DataFrame]:
    """Make files sessions, for metrics of which a system has values in several files."""
    files = Counter(pair for part in parts for pair in part.table.pairs)
    repeated = {metric for (metric, _), number in files.items() if number > 1}
    if not repeated:
        return [part.table.frame for part in parts]
    return [_in_session(part.table.frame, str(part.number), repeated) for part in parts]


def _in_session(frame: pd.DataFrame, number: str, metrics: set[str]) -> pd.DataFrame:
    """Put a file's number before the sessions that it names itself, if any."""
    given = frame["session"].astype(str)
    inside = (given != "").map({True: ".", False: ""}) + given
    return frame.assign(session=given.where(~frame["metric"].isin(metrics), number + inside))
