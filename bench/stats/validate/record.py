"""Make recorded.json from run directories: `python -m bench.stats.validate.record RUN [RUN …]`.

It takes metrics that both copies of the host have in at least 4 sessions with 4 pairs each, and that vary
(byte counts agree exactly). Host names are not kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from bench import output
from bench.model import Run
from bench.stats.validate.recorded import FILE, RecordedSeries, Recording, RecordingConditions

SESSIONS, PAIRS = 4, 4
ARMS = ("host", "host-b")
NOTE = "2 CPUs of a virtual machine, shared with other work on the same machine while it was recorded"


def record(directory: Path, note: str) -> tuple[RecordingConditions, list[RecordedSeries]]:
    """Return the conditions of a run and its A/A noise."""
    run = msgspec.json.decode((directory / "run.json").read_bytes(), type=Run)
    conditions = RecordingConditions(
        date=run.started[:10],
        kernel=run.host.kernel,
        cpu=run.host.cpu_model,
        cpus=run.host.cpus,
        note=note,
    )
    return conditions, series_of(pd.read_parquet(directory / "samples.parquet"))


def series_of(samples: pd.DataFrame) -> list[RecordedSeries]:
    """Return the series of all suitable metrics, by name."""
    usable = samples[samples["valid"] & samples["arm"].isin(ARMS) & (samples["value"] > 0)]
    found = []
    for metric, rows in usable.groupby("metric", observed=True):
        visits = rows.pivot_table(
            index=["session", "block"], columns="arm", values="value", aggfunc="median", observed=True
        )
        if not set(ARMS) <= set(visits.columns):
            continue
        sign = 1.0 if rows["better"].iloc[0] == "higher" else -1.0
        paired = visits[list(ARMS)].dropna()
        logs = pd.DataFrame(sign * np.log(paired.to_numpy()), index=paired.index, columns=list(ARMS))
        logs -= float(np.median(logs.to_numpy()))
        sessions = [
            (one["host"].round(5).tolist(), one["host-b"].round(5).tolist())
            for _, one in logs.groupby("session")
            if len(one) >= PAIRS
        ]
        spread = np.median(np.abs((logs["host"] - logs["host-b"]).to_numpy()))
        if len(sessions) >= SESSIONS and spread > 1e-4:
            found.append(RecordedSeries(metric=str(metric), sessions=sessions))
    return found


def main(directories: list[str]) -> None:
    """Write the file; each run has its own series."""
    conditions, series = [], []
    for directory in directories:
        one, more = record(Path(directory), NOTE)
        conditions.append(one)
        series += more
    data = msgspec.json.format(msgspec.json.encode(Recording(conditions, series)), indent=1) + b"\n"
    output.write(FILE, data)
    sys.stdout.write(f"{FILE.name}: {len(series)} series of {len(conditions)} runs\n")


if __name__ == "__main__":
    main(sys.argv[1:])
