"""Tables for the terminal: verdicts, backends, scenarios, runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.cli.console import complain
from bench.cli.screen.layout import STYLE
from bench.model import Verdict

if TYPE_CHECKING:
    from bench.store import Loaded


def damaged(loaded: Loaded) -> bool:
    """Return whether a file of the run was cut off; name each on standard error."""
    for sentence in loaded.recovered:
        complain(sentence)
    return bool(loaded.recovered)


def plain(console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts; where it is too wide, a row after the other with a line for each cell."""
    cells = [list(row) for row in rows]
    sizes = [
        [max(map(len, Text.from_markup(text).plain.split()), default=0) for text in column]
        for column in zip(*cells, strict=True)
    ]
    if sum(max([len(head), *column]) + 1 for head, column in zip(heads, sizes, strict=False)) > console.width:
        _stacked(console, heads, cells)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for head in heads:
        table.add_column(plainly(head), overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def _stacked(console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for first, *rest in rows:
        console.print(Text.from_markup(first, style="bold"))
        for head, text in zip(heads[1:], rest, strict=True):
            if text:
                console.print(Padding(Text.from_markup(f"{plainly(head)}: {text}"), (0, 0, 0, 2)))


def state(one: Verdict) -> str:
    """Return the verdict in its colour."""
    return f"[{STYLE[one.verdict]}]{one.verdict}[/]"


def plainly(text: str) -> str:
    """Escape brackets, which rich would read as markup."""
    return text.replace("[", r"\[")
