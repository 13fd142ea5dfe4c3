"""Samples in a Parquet file: samples.parquet of a run, or any with the columns of the CSV."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from bench import upgrade
from bench.foreign.table import REQUIRED, ForeignError, Table, checked, from_run, of_a_run

MAGIC = b"PAR1"


def read(data: bytes, name: str, system: str = "") -> Table:
    """Read a table from the bytes of a Parquet file called `name`; rows count from 1. Raises ForeignError.

    `system` fills a missing column system.
    """
    try:
        frame = upgrade.samples(pq.read_table(io.BytesIO(data))).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error).splitlines()[0][:120]
        raise ForeignError(f"{name}: cut off or not Parquet ({said}); write it again") from error
    if system and {"system", "arm"} & set(frame.columns):
        raise ForeignError(f"{name}: names its systems itself; leave out the name before =")
    if of_a_run(frame):
        return from_run(frame, f"{name}: row", 1)
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
