"""Samples in a CSV file: one row per value, separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

import csv
import io

import pandas as pd

from bench.foreign.table import FIELDS, REQUIRED, ForeignError, Table, checked

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
    if "system" not in places:
        columns["system"] = system
    kind = f"CSV ({SEPARATORS[separator]})"
    return checked(columns, f"{name}: row", [number for number, _ in body], kind)


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise ForeignError(
            f"{name}: row {row}: not UTF-8 (byte {error.start}); save it as CSV UTF-8"
        ) from error


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
    missing = [field for field in REQUIRED if field not in head and not (labelled and field == "system")]
    if missing:
        there = ", ".join(head)[:80] or "nothing"
        raise ForeignError(
            f"{name}: row 1: columns missing: {', '.join(missing)} (found: {there}); "
            "the head is metric,system,session,block,value,better"
        )
