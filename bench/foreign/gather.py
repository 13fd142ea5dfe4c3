"""Several files to one table: which names are systems, which are metrics, and what makes a session.

A file named by `NAME=FILE` is of the system NAME, and its benchmarks are the metrics. Without a name: a CSV
or Parquet file names its systems itself; hyperfine's commands are systems; of another tool, the benchmarks
of one file are the systems, of several files each file is one. A metric of a system that is in several files
has a session in each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import pandas as pd

from bench.foreign import delimited, hyperfine, parquet, sources, tools
from bench.foreign.measured import Benchmark, ToolFile
from bench.foreign.sources import Source
from bench.foreign.table import ChoiceError, Pair, Table, clean
from bench.judging.rows import join


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file's table, and the number of its session among the files like it."""

    table: Table
    number: int


def gather(typed: list[str], by: str = "") -> Table:
    """All files as one table; `by` names the parameter whose values are the systems. Raises ForeignError."""
    return joined(recognise(sources.load(typed)), by)


def recognise(found: Sequence[Source]) -> list[tuple[Source, Table | ToolFile]]:
    """Each file with what its content was recognised as."""
    return [(one, _recognised(one)) for one in found]


def joined(files: Sequence[tuple[Source, Table | ToolFile]], by: str = "") -> Table:
    """The files' samples together."""
    if by and not any(isinstance(content, ToolFile) for _, content in files):
        raise ChoiceError(f"--by {by}: a table names its systems itself; leave --by away")
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
        caveat=join(*dict.fromkeys(part.table.caveat for part in parts)),
        crossed=all(part.table.crossed for part in parts),
    )


def _recognised(source: Source) -> Table | ToolFile:
    if source.data.startswith(parquet.MAGIC):
        return parquet.read(source.data, source.name, source.system)
    if tools.looks_like_json(source.data):
        return tools.read(source.data, source.name)
    return delimited.read(source.data, source.name, source.system)


def _parts(files: Sequence[tuple[Source, Table | ToolFile]], by: str) -> Iterator[_Part]:
    """Tables with the number of their session: a named file's among those of its name, else among all."""
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
    """A tool's benchmarks as rows, once it is known what names the system."""
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
        caveat=file.caveat,
        crossed=bool(system or by),
    )


def _names(file: ToolFile, one: Benchmark, system: str, by: str) -> tuple[str, str]:
    """(metric, system) of a benchmark."""
    if by:
        if by not in one.parameters:
            there = ", ".join(one.parameters) or "none"
            raise ChoiceError(f"{file.name}: {one.name!r} has no parameter {by!r} (it has: {there})")
        rest = ", ".join(f"{key}={value}" for key, value in one.parameters.items() if key != by)
        return clean(f"{one.stem}[{rest}]" if rest else one.stem), clean(one.parameters[by])
    if not system:
        return clean(one.group), clean(one.name)
    # A lone command is what its file is about, however its text differs from the other files'.
    lone = file.kind == hyperfine.KIND and len(file.benchmarks) == 1
    return clean(one.group if lone else one.name), system


def _merged(notes: Iterable[dict[Pair, str]]) -> dict[Pair, str]:
    """What is told of each (metric, system) in all files, each thing once."""
    found: dict[Pair, dict[str, None]] = {}
    for one in notes:
        for key, text in one.items():
            found.setdefault(key, {})[text] = None
    return {key: join(*texts) for key, texts in found.items()}


def _with_sessions(parts: Sequence[_Part]) -> list[pd.DataFrame]:
    """Frames in which files are sessions, for the metrics of which a system has values in several files."""
    files = Counter(pair for part in parts for pair in part.table.pairs)
    repeated = {metric for (metric, _), number in files.items() if number > 1}
    if not repeated:
        return [part.table.frame for part in parts]
    return [_in_session(part.table.frame, str(part.number), repeated) for part in parts]


def _in_session(frame: pd.DataFrame, number: str, metrics: set[str]) -> pd.DataFrame:
    """A file's frame with its number in front of the sessions that it names itself, if any."""
    given = frame["session"].astype(str)
    inside = (given != "").map({True: ".", False: ""}) + given
    return frame.assign(session=given.where(~frame["metric"].isin(metrics), number + inside))
