"""Print rows: as a table, through a Go template, as ids only, or as JSON."""

from __future__ import annotations

import sys

from runtime.cli.connection import jsontext
from runtime.cli.connection.endpoint import docker_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from runtime.cli.flags.parser import CommandLine

    Row = Mapping[str, Any]
    """Fields by docker's names. A value that is a function is a method of templates, as in {{.Label "a"}}."""

_NARROWEST, _BETWEEN = 10, 3


def choose_format(args: CommandLine, name: str) -> None:
    """Without --format, -q and --json use the format of that name in docker's config.json."""
    if args.on("quiet") or args.on("json") or args.given("format"):
        return
    form = docker_text(name)
    if form:
        args.add("format", form)


def show(
    args: CommandLine,
    rows: Iterable[Row],
    columns: Sequence[str],
    headings: Mapping[str, str],
    *,
    key: str = "ID",
) -> int:
    """Print rows as the flags ask. columns: fields of the usual table; headings: where not the name.

    key: the field that -q prints. The caller handles --json.
    """
    form = args.text("format", "table")
    if args.on("quiet") and form in ("table", "json"):
        print("".join(f"{row[key]}\n" for row in rows), end="")
        return 0
    if form == "json":
        form = "{{json .}}"
    if "json" in form:
        rows = [dict(sorted(row.items())) for row in rows]
    if form == "table":  # without templates, whose import takes longer than docker's client needs to end
        titles = Headings(headings)
        cells = [[titles[name] for name in columns], *([str(row[name]) for name in columns] for row in rows)]
        sys.stdout.write(aligned(cells))
    else:
        render(unescaped(form), rows, headings)
    return 0


def unescaped(form: str) -> str:
    """Return a list's template with `\\t` and `\\n` replaced, as docker does."""
    return form.strip(" ").replace("\\t", "\t").replace("\\n", "\n")


def render(
    form: str,
    rows: Iterable[Row],
    headings: Mapping[str, str],
    field: Callable[[Any, str], Any] | None = None,
) -> None:
    """Print each row through a template; one that begins with `table` gets headings and columns.

    field: looks up a row's field, see Template.
    """
    from runtime.cli.output.templates import Template

    if not form.startswith("table"):
        template = Template(form, field)
        for row in rows:
            sys.stdout.write(template.render(row) + "\n")
        return
    template = Template(unescaped(form.removeprefix("table")))
    lines = [template.render(Headings(headings))]
    lines += [template.render(row) for row in rows]
    sys.stdout.write(aligned([line.split("\t") for text in lines for line in text.split("\n")]))


class Headings(dict):  # type: ignore[type-arg]
    """A row whose fields are their own headings: `RunningFor` is CREATED, `LocalVolumes` LOCAL VOLUMES."""

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__(known)

    def __missing__(self, name: str) -> Any:
        if name == "Label":
            return lambda label: label.rpartition(".")[2].replace("-", " ").replace("_", " ")
        spaced = "".join(" " + one if one.isupper() and not name[at - 1 : at].isupper() else one
                         for at, one in enumerate(name))  # fmt: skip
        return spaced.strip().upper()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


def aligned(lines: Iterable[Sequence[str]], narrowest: int = _NARROWEST) -> str:
    """Return lines of cells in columns: each as wide as its widest cell and three spaces, or `narrowest`."""
    lines = list(lines)
    widths: list[int] = []
    for cells in lines:
        for at, cell in enumerate(cells[:-1]):
            if at == len(widths):
                widths.append(narrowest)
            widths[at] = max(widths[at], len(cell) + _BETWEEN)
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=False)) + f"{cells[-1]}\n"
        for cells in lines
    )


def documents(found: Any) -> int:
    """Print the API's documents, indented."""
    print(jsontext.pretty(found))
    return 0


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Labels as tables show them: `a=1,b=2`."""
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))


def label_of(labels: Mapping[str, str] | None) -> Callable[[str], str]:
    """The method `Label` of rows."""
    return lambda name: (labels or {}).get(name, "")
