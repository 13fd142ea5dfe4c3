"""All runs below a directory as one DuckDB database in memory: no server, nothing to keep up to date.

Tables: `runs` (one row per run), `samples` (all Parquet files), `verdicts` (all verdicts with their run).
Runs that cannot be read are in `unreadable`, with the reason, so that they do not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pandas as pd

from bench import store
from bench.journal import StoreError
from bench.model import Run, Verdict

if TYPE_CHECKING:
    import duckdb

_RUN_COLUMNS: dict[str, tuple[str, Callable[[Path, Run], object]]] = {
    "run": ("VARCHAR", lambda _, run: run.id),
    "directory": ("VARCHAR", lambda directory, _: str(directory)),
    "started": ("VARCHAR", lambda _, run: run.started),
    "ended": ("VARCHAR", lambda _, run: run.ended),
    "status": ("VARCHAR", lambda _, run: run.status),
    "profile": ("VARCHAR", lambda _, run: run.plan.profile),
    "seed": ("UBIGINT", lambda _, run: run.plan.seed),
    "machine_id": ("VARCHAR", lambda _, run: run.host.machine_id),
    "hostname": ("VARCHAR", lambda _, run: run.host.hostname),
    "cpu_model": ("VARCHAR", lambda _, run: run.host.cpu_model),
    "kernel": ("VARCHAR", lambda _, run: run.host.kernel),
    "image": ("VARCHAR", lambda _, run: run.image.digest if run.image else ""),
    "arms": ("VARCHAR[]", lambda _, run: [arm.name for arm in run.plan.arms]),
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
    import duckdb  # here, since every verb of `ninetynine` would load it only to list directories

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
        runs.append(tuple(read(directory, loaded.run) for _, read in _RUN_COLUMNS.values()))
        frames.append(loaded.samples)
        verdicts.extend((loaded.run.id, *msgspec.to_builtins(one).values()) for one in _verdicts(directory))
    connection = duckdb.connect(":memory:")
    _table(connection, "runs", {name: kind for name, (kind, _) in _RUN_COLUMNS.items()}, runs)
    _table(connection, "verdicts", _VERDICT_COLUMNS, verdicts)
    _table(connection, "unreadable", _UNREADABLE_COLUMNS, unreadable)
    connection.register("all_samples", pd.concat(frames, ignore_index=True))
    connection.execute("CREATE TABLE samples AS SELECT * FROM all_samples")
    connection.unregister("all_samples")
    return connection


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
