"""A check of the doctor, and helpers for checks: most read a small file and compare its content.

`bad` prevents measuring, `warn` makes results worse or less comparable, `ok` is fine, `unknown` means that
the host does not show it. `effect` begins with the affected metrics or families and a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

State = Literal["ok", "warn", "bad", "unknown"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, its effect on metrics, and how to fix it ("" if there is nothing to fix)."""

    name: str
    state: State
    found: str
    effect: str = ""
    fix: str = ""


class Topic(msgspec.Struct, frozen=True):
    """What a check is called and what it affects; a call makes the check."""

    name: str
    effect: str

    def __call__(self, state: State, found: str, fix: str = "") -> Check:
        """Return the check with what was found."""
        return Check(name=self.name, state=state, found=found, effect=self.effect, fix=fix)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A check of one file below /proc or /sys: the first of `paths` that exists.

    fine: whether its text, stripped, is harmless. fix: what to do if not; `{path}` is the file. absent: what
    to show if there is no such file.
    """

    name: str
    paths: tuple[str, ...]
    fine: Callable[[str], bool]
    effect: str
    fix: str
    absent: str = "the host does not show it"
    shown: Callable[[str], str] = str

    def look(self, root: Path = Path("/")) -> Check:
        """Check the host whose files are below `root`."""
        about = Topic(self.name, self.effect)
        for path in self.paths:
            if found := text(root / path):
                fine = self.fine(found)
                fix = "" if fine else self.fix.format(path=f"/{path}")
                return about("ok" if fine else "warn", self.shown(found), fix)
        return about("unknown", self.absent)


def one_of(*texts: str) -> Callable[[str], bool]:
    """Return a test for `Fact.fine`: the text is one of these."""
    return lambda found: found in texts


def text(path: Path) -> str:
    """Return a small file's text, stripped; "" if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """Return the whole number in a file, None if it contains anything else."""
    found = text(path)
    return int(found) if re.fullmatch(r"-?\d+", found) else None


def chosen(found: str) -> str:
    """`always [madvise] never` → `madvise`; text without brackets is returned as it is."""
    picked = re.search(r"\[([^\]]+)\]", found)
    return picked[1] if picked else found


def cpu_set(found: str) -> frozenset[int]:
    """Parse the kernel's list format: `0-3,8` → {0, 1, 2, 3, 8}; anything else gives the empty set."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", found):
        return frozenset()
    cpus: set[int] = set()
    for part in found.split(","):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def cpu_list(cpus: Iterable[int]) -> str:
    """{0, 1, 2, 3, 8} → `0-3,8`, as the kernel writes it."""
    parts: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1][1:] = [cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)


def meminfo(root: Path, key: str) -> int | None:
    """Return a figure of /proc/meminfo in bytes, None if it is missing."""
    found = re.search(rf"^{re.escape(key)}:\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
