"""Output of the verbs: results to standard output, everything else to standard error."""

from __future__ import annotations

import codecs
import io
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import msgspec
import typer
from rich.console import Console
from rich.theme import Theme

AsJson = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON document to standard output.")
]

PIPE_WIDTH = 80
"""Columns of output into a file or a pipe, where COLUMNS does not say otherwise."""

GOOD, OPEN, BAD, FAINT = "#008a00", "#b06000", "#e02020", "#767676"
"""Colours as far from white as from black, so that light and dark terminals show them: on one of the two a
terminal's own yellow, its own green and dim text vanish. Terminals of few colours get the nearest one."""

_THEME = Theme({"progress.elapsed": "none", "progress.spinner": GOOD})
"""In place of rich's yellow and its light green."""

_LEAST_WIDTH = 20
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PLAIN = str.maketrans(
    {"·": "-", "–": "-", "—": "-", "…": "...", "µ": "u", "\u00a0": " ", "✓": "+", "✗": "-"}
)
"""For terminals that know only ASCII."""


class _Console(Console):
    """One whose reader may go away: the verbs decide what that means."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise what rich would turn into status 1."""
        raise BrokenPipeError


def out() -> Console:
    """Standard output."""
    return _Console(width=_width(sys.stdout), theme=_THEME)


def err() -> Console:
    """Standard error."""
    return _Console(stderr=True, soft_wrap=True, width=_width(sys.stderr), theme=_THEME)


def _width(stream: TextIO) -> int | None:
    """Columns: COLUMNS, else a terminal's own (None: rich asks it), else PIPE_WIDTH."""
    typed = os.environ.get("COLUMNS", "")
    if typed.isdecimal() and int(typed):
        return max(_LEAST_WIDTH, int(typed))
    return None if stream.isatty() else PIPE_WIDTH


def line(text: object, style: str = "", console: Console | None = None) -> None:
    """Print one line as it stands, to standard output by default. It is not wrapped."""
    shown = printable(pasteable(str(text)))
    (console or out()).print(shown, style=style, markup=False, highlight=False, soft_wrap=True)


def complain(text: object) -> None:
    """Print an error to standard error, in the form that all errors have."""
    line(f"ninetynine: error: {text}", console=err())


def warn(text: object) -> None:
    """Print to standard error what a user should heed."""
    line(f"! {text}", console=err())


def print_json(value: object) -> None:
    """Print one JSON document; paths become text."""
    data = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(msgspec.json.format(data, indent=1).decode() + "\n")


def program() -> str:
    """How a user types this program here: `ninetynine` if the shell finds it, else its path."""
    script = Path(sys.executable).with_name("ninetynine")
    found = shutil.which("ninetynine")
    if found is not None and (not script.exists() or Path(found).samefile(script)):
        return "ninetynine"
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m bench"
    short = os.path.relpath(script)
    return shlex.quote(str(script) if short.startswith("..") else short)


def command(*words: object) -> str:
    """A command of this program to be pasted into a shell."""
    return " ".join((program(), *(quoted(word) for word in words)))


def quoted(word: object) -> str:
    """A word for the shell on one line; control characters as `$'…'`, which bash, zsh and ksh read."""
    text = str(word)
    if not _CONTROL.search(text) and "\n" not in text and "\t" not in text:
        return shlex.quote(text)
    escaped = "".join(_escaped(one) for one in text)
    return f"$'{escaped}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    code = ord(character)
    return f"\\x{code:02x}" if code < 32 or 127 <= code < 160 else character


def pasteable(text: str) -> str:
    """The text with `ninetynine …` in its hints as the user has to type it."""
    return text.replace("`ninetynine ", f"`{program()} ")


def printable(text: str) -> str:
    """The text without characters that would drive the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def make_writable() -> None:
    """Let standard output and error take any text: what their encoding lacks becomes ASCII or an escape."""
    codecs.register_error("ninetynine", _nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ninetynine")


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(one if one.isascii() else f"\\u{ord(one):04x}" for one in lost), error.end
