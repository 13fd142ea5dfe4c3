"""A run's directory: `run.json`, `samples.parquet`, `verdicts.json`, `report.html`, `log/`.

While a run is measured only the journal (`bench.journal`) grows; closing turns it into the other files, each
written beside its place and renamed, so that a reader sees the old file or the new one. Any file cut off at
any byte gives a StoreError that names it, or is made again from the journal, and `Loaded.recovered` says so.
"""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench import journal, output, upgrade
from bench.journal import RESUME, Journal, StoreError, write_error
from bench.model import SCHEMA_VERSION, Run, RunStatus, Sample, Verdict

__all__ = [
    "RUN",
    "SAMPLES",
    "VERDICTS",
    "Journal",
    "Loaded",
    "StoreError",
    "close",
    "create",
    "load",
    "load_verdicts",
]

RUN, SAMPLES, VERDICTS, REPORT = "run.json", "samples.parquet", "verdicts.json", "report.html"

COLUMNS = tuple(field.name for field in msgspec.structs.fields(Sample))

_PARQUET_SCHEMA = pa.schema(
    [
        pa.field(
            name,
            {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}.get(
                str(kind).removesuffix(" | None"), pa.string()
            ),
        )
        for name, kind in Sample.__annotations__.items()
    ]
)


def _judge(directory: Path) -> str:
    """The command that judges a run again."""
    return f"`ninetynine judge {shlex.quote(str(directory))}`"


class Damage(msgspec.Struct, frozen=True):
    """A file of a run that is missing, cut off or not readable. what: how, and what was read instead."""

    path: Path
    what: str
    directory: Path

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; write it again with {_judge(self.directory)}"


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A run as read.

    A run that was killed is not damaged: its samples are in its journal until somebody closes it.
    """

    directory: Path
    run: Run
    samples: pd.DataFrame
    damage: tuple[Damage, ...] = ()

    @property
    def recovered(self) -> tuple[str, ...]:
        """A sentence for each damaged file."""
        return tuple(map(str, self.damage))


_MAKE_WRITABLE = "make the directory writable, or judge a copy of it"


def new_id() -> str:
    """A run's name: sortable by its start (UTC), unique."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"


def create(directory: Path) -> None:
    """Make an empty run directory. Raises StoreError when it holds anything already."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        present = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise write_error("create", directory, error) from error
    if RUN in present or (directory / journal.NAME).exists():
        quoted = shlex.quote(str(directory))
        raise StoreError(
            f"{directory}: holds a run already; go on with --resume {quoted}, or choose another --out"
        )
    if present:
        raise StoreError(f"{directory}: not empty ({present[0]}, …) and not a run; choose another --out")


def write_run(directory: Path, run: Run) -> None:
    """Write `run.json`."""
    write_atomically(directory / RUN, _pretty(run))


def write_verdicts(directory: Path, verdicts: Sequence[Verdict]) -> None:
    """Write `verdicts.json`, a list."""
    then = f"and judge again with {_judge(directory)}; what was measured is kept"
    write_atomically(directory / VERDICTS, _pretty(list(verdicts)), then=then, elsewhere=_MAKE_WRITABLE)


def write_samples(directory: Path, samples: Iterable[Sample]) -> None:
    """Write `samples.parquet`, rows by order, exactly the columns of `bench.model.Sample`."""
    rows = sorted((msgspec.structs.asdict(sample) for sample in samples), key=lambda row: int(row["order"]))
    table = pa.Table.from_pylist(rows, schema=_PARQUET_SCHEMA)
    packed = pa.BufferOutputStream()
    pq.write_table(table, packed, compression="zstd")
    write_atomically(directory / SAMPLES, packed.getvalue().to_pybytes())


def close(directory: Path, run: Run) -> None:
    """Turn the journal into `samples.parquet` and `run.json`. The journal stays in log/."""
    contents = journal.read(directory / journal.NAME)
    write_samples(directory, contents.samples)
    write_run(directory, run)


def is_closed(directory: Path) -> bool:
    """Whether the journal was turned into the other files (it was not after a kill, or without space)."""
    try:
        run = _checked(directory / RUN, (directory / RUN).read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, StoreError):
        return False
    return run.status != "running" and (directory / SAMPLES).exists()


def is_concluded(directory: Path) -> bool:
    """Whether a closed run has its verdicts and its page too."""
    try:
        load_verdicts(directory)
    except StoreError:
        return False
    page = directory / REPORT
    return is_closed(directory) and page.is_file() and page.stat().st_size > 0


def status(directory: Path, run: Run) -> RunStatus:
    """A run's status; one that was killed is `interrupted`: no process holds its journal any more."""
    if run.status == "running" and not journal.is_held(directory / journal.NAME):
        return "interrupted"
    return run.status


def load(directory: Path) -> Loaded:
    """Read a run, from its journal where a file is missing or cut off. Raises StoreError."""
    if not directory.is_dir():
        raise StoreError(f"{directory}: no such run directory; `ninetynine list runs` shows the known ones")
    damage: list[Damage] = []
    run = _run(directory, damage)
    samples = _samples(directory, run, damage)
    _check_journal(directory, run, damage)
    return Loaded(directory=directory, run=run, samples=samples, damage=tuple(damage))


def repair(loaded: Loaded) -> None:
    """Write the damaged files again from the whole ones; the damaged bytes are kept in log/damaged-*."""
    damaged = {one.path for one in loaded.damage}
    for path in damaged:
        if path.exists():
            write_atomically(loaded.directory / "log" / f"damaged-{path.name}", path.read_bytes())
    rows = [
        Sample(**{str(key): _null(str(key), value) for key, value in row.items()})
        for row in loaded.samples.to_dict("records")
    ]
    if loaded.directory / journal.NAME in damaged:
        write_atomically(loaded.directory / journal.NAME, journal.encoded(loaded.run, rows))
    write_samples(loaded.directory, rows)
    write_run(loaded.directory, loaded.run)


def load_verdicts(directory: Path) -> list[Verdict]:
    """Read `verdicts.json`. Raises StoreError naming the command that makes it again."""
    path = directory / VERDICTS
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
        return msgspec.convert([upgrade.verdict(row) for row in rows], list[Verdict])
    except FileNotFoundError as error:
        raise StoreError(f"{path}: missing; make it with {_judge(directory)}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: cut off or damaged ({error}); make it again with {_judge(directory)}"
        ) from error


def write_atomically(
    path: Path, data: bytes, *, then: str = RESUME, elsewhere: str = journal.ELSEWHERE
) -> None:
    """Replace `path` by `data`, or leave it as it was.

    Raises StoreError; then: its advice on a full disk, elsewhere: where the place cannot be written to.
    """
    try:
        output.write(path, data)
    except OSError as error:
        raise write_error("write", path, error, then=then, elsewhere=elsewhere) from error


def frame(samples: Iterable[Sample]) -> pd.DataFrame:
    """Samples as a data frame with the Parquet file's columns and types."""
    table = pa.Table.from_pylist(
        [msgspec.structs.asdict(sample) for sample in samples], schema=_PARQUET_SCHEMA
    )
    return _to_frame(table)


def _run(directory: Path, damage: list[Damage]) -> Run:
    path = directory / RUN
    try:
        run = _checked(path, path.read_bytes())
        return _ended_after_all(directory, run) if run.status == "running" else run
    except FileNotFoundError:
        why = "missing"
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = f"cut off or damaged ({error})"
    try:
        run = journal.read(directory / journal.NAME).run
    except StoreError as error:
        raise StoreError(f"{path}: {why}, and no help from the journal: {error}") from error
    damage.append(Damage(path, f"{why}; the run was read from {journal.NAME} instead", directory))
    return run


def _ended_after_all(directory: Path, run: Run) -> Run:
    """A run that ended in its journal and was killed before the other files were written."""
    try:
        return journal.read(directory / journal.NAME).run
    except StoreError:
        return run


def _checked(path: Path, data: bytes) -> Run:
    document = msgspec.json.decode(data, type=dict[str, Any])
    schema = document.get("schema", "")
    if str(schema).split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise StoreError(
            f"{path}: schema {schema!r} is not ours ({SCHEMA_VERSION}); "
            "read it with the version of ninetynine that wrote it"
        )
    return upgrade.run(document)


def _samples(directory: Path, run: Run, damage: list[Damage]) -> pd.DataFrame:
    path = directory / SAMPLES
    try:
        if run.status != "running":
            return _to_frame(upgrade.samples(pq.read_table(path)))
        why = ""
    except FileNotFoundError:
        why = "missing"
    except (pa.ArrowException, OSError, ValueError) as error:
        why = f"cut off or damaged ({str(error).splitlines()[0]})"
    try:
        contents = journal.read(directory / journal.NAME)
    except StoreError as error:
        raise StoreError(f"{path}: {why}, and no help from the journal: {error}") from error
    if run.status != "running" and not contents.ended:
        raise StoreError(
            f"{path}: {why}, and {directory / journal.NAME} is cut off too "
            f"({len(contents.samples)} samples left); restore one of them from a copy"
        )
    if why:
        many = f"{len(contents.samples)} samples"
        damage.append(Damage(path, f"{why}; {many} were read from {journal.NAME} instead", directory))
    return frame(contents.samples)


def _check_journal(directory: Path, run: Run, damage: list[Damage]) -> None:
    path = directory / journal.NAME
    if run.status == "running" or not path.exists():
        return
    try:
        whole = journal.read(path).ended
    except StoreError:
        whole = False
    if not whole:
        damage.append(Damage(path, f"cut off or damaged; {SAMPLES} has all samples", directory))


def _to_frame(table: pa.Table) -> pd.DataFrame:
    """The columns of a Sample; those that a file of an older version lacks are null."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in _PARQUET_SCHEMA
    ]
    frame: pd.DataFrame = pa.table(columns, schema=_PARQUET_SCHEMA).to_pandas()
    frame["take"] = frame["take"].fillna(0).astype("int64")
    return frame


_NULLABLE = frozenset(name for name, kind in Sample.__annotations__.items() if "None" in str(kind))


def _null(name: str, value: Any) -> Any:
    """A row's value as the model has it: NaN is None where there may be none, whole numbers stay whole."""
    if name not in _NULLABLE:
        return value
    return None if pd.isna(value) else int(value) if name == "switches" else value


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
