"""Samples in a CSV file: one row per value, separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
import io
import re

import pandas as pd

from bench.foreign.table import FIELDS, REQUIRED, ForeignError, Table, checked

_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[eE][+-]?\d+)?\s*")

_MEANS = {"command", "mean", "stddev", "median"}
"""Columns of hyperfine's --export-csv."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read(data: bytes, name: str, system: str = "") -> Table:
    """Read a table from the bytes of a CSV file called `name`. Raises ForeignError.

    Rows are numbered as in a spreadsheet: the head is row 1. `system` fills a missing column system. Unknown
    columns are left out.
    """
    text = _decoded(data, name)
    separator = _separator(text)
    rows = _rows(text, separator, name)
    head = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    _check_head(head, name, bool(system))
    places = {field: head.index(field) for field in FIELDS if field in head}
    body = rows[1:]
    for number, row in body:
        if len(row) != len(head):
            raise ForeignError(
                f"{name}: row {number}: {len(row)} cells where the head has {len(head)}; is the file "
                "cut off, or a separator inside a cell not quoted?"
            )
    columns = pd.DataFrame({field: [row[at] for _, row in body] for field, at in places.items()})
    if separator != ",":
        columns["value"] = _with_points(columns["value"].tolist(), [number for number, _ in body], name)
    if "system" not in places:
        columns["system"] = system
    kind = f"CSV ({SEPARATORS[separator]})"
    return checked(columns, f"{name}: row", [number for number, _ in body], kind)


def _decoded(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise ForeignError(
            f"{name}: row {row}: not UTF-8 (byte {error.start}); save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise ForeignError(f"{name}: row {row}: it has NUL bytes, like UTF-16; save it as CSV UTF-8")
    return text


def _with_points(values: list[str], rows: list[int], name: str) -> list[str]:
    """Return the values with points for decimal commas, which spreadsheets of half of Europe write beside
    semicolons. Raises ForeignError where some values have a comma and others a point."""
    if not any(map(_COMMA.fullmatch, values)):
        return values
    pointed = next((row for row, one in zip(rows, values, strict=True) if "." in one), None)
    if pointed is not None:
        raise ForeignError(
            f"{name}: row {pointed}: value with a decimal point, where others have a comma; write one kind"
        )
    return [one.replace(",", ".") if _COMMA.fullmatch(one) else one for one in values]


def _separator(text: str) -> str:
    """Return the separator that finds the most of our columns in the first line that is not blank."""
    head = next((line for line in text.splitlines() if line.strip()), "")

    def found(separator: str) -> int:
        return len({cell.strip(' "').lower() for cell in head.split(separator)} & set(FIELDS))

    return max(SEPARATORS, key=found)


def _rows(text: str, separator: str, name: str) -> list[tuple[int, list[str]]]:
    """Return all rows that are not blank, with their numbers."""
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    try:
        for row in reader:
            number += 1
            if any(cell.strip() for cell in row):
                found.append((number, row))
    except csv.Error as error:
        raise ForeignError(f"{name}: row {number + 1}: not CSV ({error}); is the file cut off?") from error
    return found


def _check_head(head: list[str], name: str, labelled: bool) -> None:
    doubled = sorted({cell for cell in head if cell in FIELDS and head.count(cell) > 1})
    if doubled:
        raise ForeignError(f"{name}: row 1: column {doubled[0]} exists twice; keep one")
    if labelled and "system" in head:
        raise ForeignError(f"{name}: names its systems itself; leave out the name before =")
    if set(head) >= _MEANS:
        raise ForeignError(
            f"{name}: hyperfine's CSV has means and no single times; give what --export-json writes"
        )
    missing = [field for field in REQUIRED if field not in head and not (labelled and field == "system")]
    if missing:
        there = ", ".join(head)[:80] or "nothing"
        raise ForeignError(
            f"{name}: row 1: columns missing: {', '.join(missing)} (found: {there}); "
            "the head is metric,system,session,block,value,better"
        )
