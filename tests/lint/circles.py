"""Import circles, those of type hints and of functions' own imports included: `python -m tests.lint.circles`.

import-linter's contracts order rooms; this says that no file needs, by any way, a file that needs it.
"""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

import grimp

PACKAGES = ("bench", "runtime", "vm", "reports")


def first_circle(imports: dict[str, set[str]]) -> list[str]:
    """Return modules each of which imports the next, the first one last again; [] where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def main() -> int:
    """Print a circle and return 1, or return 0."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    circle = first_circle({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    if circle:
        print("import circle:", *circle, sep="\n  ", file=sys.stderr)
    return 1 if circle else 0


if __name__ == "__main__":
    sys.exit(main())
