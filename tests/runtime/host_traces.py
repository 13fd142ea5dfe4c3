"""What a process has on the host, by its names; others come and go meanwhile."""

from __future__ import annotations

import contextlib
from pathlib import Path

from runtime.spawn.cgroups import find_layout


def cgroups_of(pid: int) -> list[Path]:
    """The cgroups of the process's containers, in all trees."""
    found: list[Path] = []
    for parent in parents_of(pid):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            found += [path for path in parent.iterdir() if path.is_dir()]
    return found


def parents_of(pid: int) -> list[Path]:
    """The cgroups that those are in, one a tree."""
    layout = find_layout()
    trees = {*layout.v1.values(), *([layout.v2] if layout.v2 else [])}
    return [path for tree in trees for path in Path(tree).glob(f"nn-{pid}-*")]


def links_of(pid: int) -> set[str]:
    """The bridges whose alias names the process, and what is plugged into them."""
    found = set()
    for alias in Path("/sys/class/net").glob("*/ifalias"):
        with contextlib.suppress(OSError):  # another's, just gone
            if alias.read_text().startswith(f"nn {pid}-"):
                found |= {alias.parent.name, *(port.name for port in (alias.parent / "brif").iterdir())}
    return found
