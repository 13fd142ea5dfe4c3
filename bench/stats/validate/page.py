"""Write the study's tables and figure into docs/validation.md, between marker comments."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from bench import output

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "validation.md"
FIGURE = DOCS / "figures" / "validate.svg"


class PageError(Exception):
    """docs/validation.md has no place for a table: names its marker."""


def put(page: str, tables: dict[str, str]) -> str:
    """Return the page with each table between `<!-- validate: NAME -->` and `<!-- end -->`. PageError."""
    for name, text in tables.items():
        pattern = re.compile(rf"(<!-- validate: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(functools.partial(_between, text), page)
        if count != 1:
            raise PageError(
                f"write {PAGE.name}: {count} places for the table {name}; give it one pair of marker comments"
            )
    return page


def _between(text: str, found: re.Match[str]) -> str:
    return f"{found[1]}\n{text}\n\n{found[2]}"


def write(tables: dict[str, str]) -> None:
    """Rewrite the tables of the page. PageError."""
    output.write(PAGE, put(PAGE.read_text(), tables).encode())


def write_figure(drawing: str) -> None:
    """Replace the figure of the page."""
    FIGURE.parent.mkdir(exist_ok=True)
    output.write(FIGURE, drawing.encode())
