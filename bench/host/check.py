"""One line of the doctor, and how most of them are made: read a small file, compare, say what it does.

`bad` prevents measuring, `warn` makes results worse or less comparable, `ok` is fine, `unknown` means that
the host does not tell. `effect` begins with the metrics or families it touches and a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

State = Literal["ok", "warn", "bad", "unknown"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, what it can do to which metrics, and how to fix it ("" where nothing has to be)."""

    name: str
    state: State
    found: str
    effect: str = ""
    fix: str = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A check that is one file below /proc or /sys: the first of `paths` that is there.

    fine: whether its text, stripped, is harmless. fix: what helps when it is not; `{path}` is the file.
    absent: what to say where no such file is.
    """

    name: str
    paths: tuple[str, ...]
    fine: Callable[[str], bool]
    effect: str
    fix: str
    absent: str = "the host does not tell"
    shown: Callable[[str], str] = str

    def look(self, root: Path = Path("/")) -> Check:
        """The check of the host whose files lie below `root`."""
        for path in self.paths:
            if found := text(root / path):
                fine = self.fine(found)
                fix = "" if fine else self.fix.format(path=f"/{path}")
                state: State = "ok" if fine else "warn"
                shown = self.shown(found)
                return Check(name=self.name, state=state, found=shown, effect=self.effect, fix=fix)
        return Check(name=self.name, state="unknown", found=self.absent, effect=self.effect)


def one_of(*texts: str) -> Callable[[str], bool]:
    """A file is fine when it says one of these."""
    return lambda found: found in texts


def text(path: Path) -> str:
    """A small file's text, stripped; "" where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """A file that is one whole number; None where it is not."""
    found = text(path)
    return int(found) if re.fullmatch(r"-?\d+", found) else None


def chosen(found: str) -> str:
    """`always [madvise] never` → `madvise`; a text without brackets as it is."""
    picked = re.search(r"\[([^\]]+)\]", found)
    return picked[1] if picked else found


def cpu_set(found: str) -> frozenset[int]:
    """The kernel's list form, `0-3,8` → {0, 1, 2, 3, 8}; what is no list gives the empty set."""
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
    """A figure of /proc/meminfo in bytes, None where it is not there."""
    found = re.search(rf"^{re.escape(key)}:\s+(\d+) kB", text(root / "proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
