"""Output of the verbs: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]

_PIPE_WIDTH = 200
"""Columns of a table that goes into a file or a pipe."""


def out() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, soft_wrap=True)


def line(text: object, style: str = "", console: Console | None = None) -> None:
    """Print one line as it stands, to standard output by default. It is not wrapped."""
    (console or out()).print(str(text), style=style, markup=False, highlight=False, soft_wrap=True)


def complain(text: object) -> None:
    """Print an error to standard error, in the form that all errors have."""
    err().print(f"ninetynine: error: {text}", markup=False, highlight=False)


def print_json(value: object) -> None:
    """Print one JSON document; paths become text."""
    data = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(msgspec.json.format(data, indent=1).decode() + "\n")
