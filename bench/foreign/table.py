"""The shape in which samples of any origin are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench.errors import ExpectedError

REQUIRED = ("metric", "system", "value", "better")
OPTIONAL = ("session", "block", "unit")
FIELDS = (*REQUIRED, *OPTIONAL)
SAMPLES = ("run", "session", "block", "arm", "metric", "unit", "better", "value", "valid", "reason")
DIRECTIONS = ("higher", "lower")

Pair = tuple[str, str]
"""(metric, system)."""


class ForeignError(ExpectedError):
    """A file or a frame cannot be judged: names it, the row if there is one, and what to do."""


class ChoiceError(ForeignError):
    """An option does not fit the samples: an unknown baseline, a margin that is not a ratio."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Samples in the form in which they are judged.

    frame: columns metric, system, session, block, unit (text, "" if not given), value (float), better, place
    (names the row's file) and row (its number there). kind: the recognised format. remarks: notes for the
    reader, by metric and system. broken: why no verdict can rest on the values, if there are any.
    caveats: what the tool's method does not cover if no session is named, by metric. crossed: every system
    should have every metric.
    """

    frame: pd.DataFrame
    kind: str
    remarks: dict[Pair, str] = {}
    broken: dict[Pair, str] = {}
    caveats: dict[str, str] = {}
    crossed: bool = True

    @property
    def systems(self) -> list[str]:
        """Names of the systems, in the order of the rows."""
        return [str(name) for name in self.frame["system"].unique()]

    @property
    def pairs(self) -> list[Pair]:
        """The (metric, system) pairs that have rows, in the order of the rows."""
        seen = self.frame.drop_duplicates(["metric", "system"])
        return [(str(metric), str(one)) for metric, one in zip(seen["metric"], seen["system"], strict=True)]


def checked(columns: pd.DataFrame, place: str, rows: Sequence[int], kind: str) -> Table:
    """Make a table of columns of any type. Raises ForeignError, which names the row of the first bad cell.

    `place` and a number of `rows` together name a row: "samples.csv: row" 17.
    """
    if not len(columns):
        raise ForeignError(f"{place.removesuffix(': row')}: it has no samples; give at least one row")
    frame = pd.DataFrame({name: _text(columns, name) for name in FIELDS if name != "value"})
    frame["row"] = np.asarray(rows, dtype=np.int64)
    frame["place"] = place
    frame["better"] = frame["better"].str.lower()
    for name in ("metric", "system"):
        empty = frame[frame[name] == ""]
        if len(empty):
            raise ForeignError(f"{_where(empty)}: column {name} is empty; name the {name}")
    odd = frame[~frame["better"].isin(DIRECTIONS)]
    if len(odd):
        found = odd["better"].iloc[0][:40]
        raise ForeignError(f"{_where(odd)}: column better is neither higher nor lower (found {found!r})")
    frame["value"] = _numbers(columns["value"], frame)
    return Table(frame=frame, kind=kind)


def of_a_run(frame: pd.DataFrame) -> bool:
    """Return whether the columns are those of a run's samples (bench.model.Sample)."""
    return set(SAMPLES) <= set(frame.columns) and "system" not in frame.columns


def from_run(frame: pd.DataFrame, place: str, first: int) -> Table:
    """Make a table of samples of runs: sessions are numbered by run; invalid samples are left out and noted.

    Rows are numbered from `first`.
    """
    session = frame["run"].astype(str) + "." + frame["session"].astype(str)
    rows = range(first, first + len(frame))
    frame = frame.assign(system=frame["arm"], session=session, row=rows)
    valid = frame["valid"].to_numpy(dtype=bool)
    good, remarks = frame[valid], {}
    for (metric, system), lost in frame[~valid].groupby(["metric", "system"], observed=True):
        why = str(lost["reason"].value_counts().index[0])
        remarks[str(metric), str(system)] = f"{len(lost)} invalid of {system} left out ({why})"
    table = checked(good, place, good["row"].tolist(), "samples of a run")
    return msgspec.structs.replace(table, remarks=remarks)


def _text(columns: pd.DataFrame, name: str) -> list[str]:
    """Return a column as stripped texts; missing values and NaN become "", whole floats lose their point."""
    if name not in columns.columns:
        return [""] * len(columns)
    known: dict[Any, str] = {}
    return [_worded(known, one) for one in columns[name].tolist()]


def _worded(known: dict[Any, str], one: Any) -> str:
    try:
        if one not in known:
            known[one] = _plain(one)
        return known[one]
    except TypeError:  # not hashable
        return _plain(one)


def _plain(one: Any) -> str:
    if one is None or one is pd.NA or one is pd.NaT or (isinstance(one, float) and math.isnan(one)):
        return ""
    if isinstance(one, float) and one.is_integer():
        return str(int(one))
    return clean(str(one).strip())


def clean(text: str) -> str:
    """Escape what is not printable in a name."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _numbers(column: pd.Series, frame: pd.DataFrame) -> Any:
    """Return the values as floats; an empty cell is NaN, as in pandas."""
    if pd.api.types.is_any_real_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    found = np.array([_number(one) for one in column.tolist()], dtype=object)
    bad = np.array([one is None for one in found], dtype=bool)
    if bad.any():
        first = int(np.argmax(bad))
        text = str(column.iloc[first])[:40]
        raise ForeignError(
            f"{_where(frame.iloc[first:])}: value {text!r} is not a number; write it like 0.25 or 2.5e-1"
        )
    return found.astype(np.float64)


def _number(one: Any) -> float | None:
    """Return a cell as a float: NaN if it is empty, None if it is not a number."""
    if isinstance(one, bool):
        return None
    text = _plain(one)
    if not text:
        return math.nan
    try:
        return None if "_" in text else float(text)
    except (ValueError, OverflowError):
        return None


def _where(rows: pd.DataFrame) -> str:
    """Name the first of some rows: "samples.csv: row 17"."""
    return f"{rows['place'].iloc[0]} {rows['row'].iloc[0]}"
