"""Samples in a Parquet file: ours (samples.parquet of a run), or any with the columns of the CSV."""

from __future__ import annotations

import io

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.foreign.errors import ForeignError
from bench.foreign.table import REQUIRED, Table, checked

MAGIC = b"PAR1"
OURS = ("run", "session", "block", "backend", "metric", "unit", "better", "value", "valid", "reason")


def read(data: bytes, name: str, system: str = "") -> Table:
    """A table from the bytes of a Parquet file called `name`; rows count from 1. Raises ForeignError.

    `system` fills a missing column system.
    """
    try:
        frame = pq.read_table(io.BytesIO(data)).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error).splitlines()[0][:120]
        raise ForeignError(f"{name}: cut off or no Parquet ({said}); write it again") from error
    if system and {"system", "backend"} & set(frame.columns):
        raise ForeignError(f"{name}: names its systems itself; leave the name before = away")
    if set(OURS) <= set(frame.columns):
        return _ours(frame, name)
    if system and "system" not in frame.columns:
        frame = frame.assign(system=system)
    missing = [field for field in REQUIRED if field not in frame.columns]
    if missing:
        there = ", ".join(map(str, frame.columns))[:80] or "nothing"
        raise ForeignError(
            f"{name}: columns missing: {', '.join(missing)} (found: {there}); "
            "give samples.parquet of a run, or the columns of the CSV"
        )
    return checked(frame, f"{name}: row", range(1, len(frame) + 1), "Parquet")


def _ours(frame: pd.DataFrame, name: str) -> Table:
    """The samples of runs: a session is one of a run; samples marked invalid are left out, and told."""
    session = frame["run"].astype(str) + "." + frame["session"].astype(str)
    frame = frame.assign(system=frame["backend"], session=session, row=range(1, len(frame) + 1))
    good = frame[frame["valid"].to_numpy(dtype=bool)]
    table = checked(good, f"{name}: row", good["row"].tolist(), "samples of a run")
    lost = frame[~frame["valid"].to_numpy(dtype=bool)]
    remarks = {}
    for (metric, system), rows in lost.groupby(["metric", "system"], observed=True):
        why = str(rows["reason"].value_counts().index[0])
        remarks[str(metric), str(system)] = f"{len(rows)} invalid of {system} left out ({why})"
    return msgspec.structs.replace(table, remarks=remarks)
