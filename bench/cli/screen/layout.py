"""Lines of text that fit a width, with a style for each part."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from bench.answers.sentences import Word
from bench.answers.words import NBSP
from bench.cli.console import BAD, FAINT, GOOD, OPEN, printable

SIGN: dict[Word, str] = {
    "supported": "+",
    "refuted": "-",
    "inconclusive": "?",
    "not measured": ".",
    "not asked": " ",
}
STYLE: dict[Word, str] = {
    "supported": GOOD,
    "refuted": BAD,
    "inconclusive": OPEN,
    "not measured": FAINT,
    "not asked": FAINT,
}

Line = Text


def line(*parts: str | tuple[str, str]) -> Text:
    """One line of plain and (text, style) parts."""
    return Text.assemble(*(_plain(part) for part in parts))


def _plain(part: str | tuple[str, str]) -> str | tuple[str, str]:
    if isinstance(part, str):
        return printable(part.replace(NBSP, " "))
    return printable(part[0].replace(NBSP, " ")), part[1]


def wrapped(text: str, width: int, first: str = "", rest: str | None = None, style: str = "") -> list[Text]:
    """Prose in lines of at most `width`; no line ends between a number and its unit.

    first: what the first line begins with; rest: the other lines, as far in by default.
    """
    indent = " " * len(first) if rest is None else rest
    found = textwrap.wrap(
        printable(text),
        max(width, len(indent) + 10),
        initial_indent=first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [line((one, style)) for one in found or [first.rstrip()]]


def listed(label: str, parts: Iterable[str], width: int) -> list[Text]:
    """`label` and a list with semicolons; nothing for an empty one."""
    text = "; ".join(parts)
    return wrapped(text, width, label) if text else []


def pasteable(label: str, command: str, width: int) -> list[Text]:
    """A command after its label; one that is too long goes on behind a backslash, as a shell reads it."""
    lines = [label]
    for word in _words(command):
        if len(lines[-1]) + 1 + len(word) + 2 > width and len(lines[-1]) > len(label):
            lines[-1] += " \\"
            lines.append(" " * len(label))
        lines[-1] += word if len(lines[-1]) == len(label) else f" {word}"
    return [line(one) for one in lines]


def _words(command: str) -> list[str]:
    """The words of a command as they are quoted in it; an option keeps its value beside it."""
    return re.findall(r"--\S+ (?:'[^']*'|[^-\s]\S*)|'[^']*'\S*|\S+", command)


def chunks(columns: Sequence[int], room: int) -> list[range]:
    """Neighbouring columns that fit into `room` side by side; a column that is wider stands alone."""
    found: list[range] = []
    start = used = 0
    for place, width in enumerate(columns):
        if place > start and used + width > room:
            found.append(range(start, place))
            start, used = place, 0
        used += width
    return [*found, range(start, len(columns))] if columns else []


def show(console: Console, lines: Iterable[Text]) -> None:
    """Print lines that fit already, as they are."""
    for one in lines:
        one.rstrip()
        console.print(one, soft_wrap=True, highlight=False)
