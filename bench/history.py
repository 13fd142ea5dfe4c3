"""All runs below a directory as one DuckDB database in memory: no server, nothing to keep up to date.

Tables: `runs` (one row per run), `samples` (all Parquet files), `verdicts` (all verdicts with their run).
Runs that cannot be read are in `unreadable`, with the reason, so that they do not hide the others.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import msgspec
import pandas as pd

from bench import store
from bench.journal import StoreError
from bench.model import Run, Verdict

_RUN_COLUMNS = {
    "run": "VARCHAR",
    "directory": "VARCHAR",
    "started": "VARCHAR",
    "ended": "VARCHAR",
    "status": "VARCHAR",
    "profile": "VARCHAR",
    "seed": "UBIGINT",
    "machine_id": "VARCHAR",
    "hostname": "VARCHAR",
    "cpu_model": "VARCHAR",
    "kernel": "VARCHAR",
    "image": "VARCHAR",
    "arms": "VARCHAR[]",
}
_DUCKDB = {"int": "BIGINT", "bool": "BOOLEAN", "float": "DOUBLE", "tuple[str, ...]": "VARCHAR[]"}
_VERDICT_COLUMNS = {"run": "VARCHAR"} | {
    name: _DUCKDB.get(str(kind).removesuffix(" | None"), "VARCHAR")
    for name, kind in Verdict.__annotations__.items()
}
_UNREADABLE_COLUMNS = {"directory": "VARCHAR", "reason": "VARCHAR"}


def directories(results: Path) -> list[Path]:
    """Run directories directly below `results`, by name (which is by start)."""
    if not results.is_dir():
        return []
    return sorted(
        path for path in results.iterdir() if (path / store.RUN).exists() or (path / "log").is_dir()
    )


def connect(results: Path) -> duckdb.DuckDBPyConnection:
    """A database over `results/*`. Samples of runs that were not closed come from their journals."""
    runs: list[tuple[object, ...]] = []
    verdicts: list[tuple[object, ...]] = []
    unreadable: list[tuple[object, ...]] = []
    frames: list[pd.DataFrame] = [store.frame([])]
    for directory in directories(results):
        try:
            loaded = store.load(directory)
        except StoreError as error:
            unreadable.append((str(directory), str(error)))
            continue
        runs.append(_run_row(directory, loaded.run))
        frames.append(loaded.samples)
        verdicts.extend((loaded.run.id, *msgspec.to_builtins(one).values()) for one in _verdicts(directory))
    connection = duckdb.connect(":memory:")
    _table(connection, "runs", _RUN_COLUMNS, runs)
    _table(connection, "verdicts", _VERDICT_COLUMNS, verdicts)
    _table(connection, "unreadable", _UNREADABLE_COLUMNS, unreadable)
    connection.register("all_samples", pd.concat(frames, ignore_index=True))
    connection.execute("CREATE TABLE samples AS SELECT * FROM all_samples")
    connection.unregister("all_samples")
    return connection


def _run_row(directory: Path, run: Run) -> tuple[object, ...]:
    return (
        run.id,
        str(directory),
        run.started,
        run.ended,
        run.status,
        run.plan.profile,
        run.plan.seed,
        run.host.machine_id,
        run.host.hostname,
        run.host.cpu_model,
        run.host.kernel,
        run.image.digest if run.image else "",
        [arm.name for arm in run.plan.arms],
    )


def _verdicts(directory: Path) -> list[Verdict]:
    try:
        return store.load_verdicts(directory)
    except StoreError:
        return []


def _table(
    connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, str], rows: list[tuple[object, ...]]
) -> None:
    spelled = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    connection.execute(f"CREATE TABLE {name} ({spelled})")
    if rows:
        marks = ", ".join("?" for _ in columns)
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
