"""A census of what a run makes on the host, and so of what it may leave.

It counts what says itself that it is ours: by the owner in its name or alias, by its place below the room, or
by descent (this process is the reaper of its descendants, so an orphan of a killed run becomes our child).
Runs of others, alive or dead, do not count; what carries our prefix and no owner does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from runtime.spawn.owner import Owner
from tests.waiting import PATIENCE_S, at_last
from vm.owner import parse_mark

_LINK = re.compile(r"nn-[0-9a-f]+|(nne)[0-9a-f]+|nv[0-9a-f]+|nwh\d+")
_PREFIXES = ("nn-", "nv-", "nw-", "ninetynine")
_LOCKS = Path("/run/ninetynine")
"""Made by the first of us on a host; the empty files by whose locks we take turns stay there."""
_PR_SET_CHILD_SUBREAPER = 36

_Process = tuple[int, int]
"""Pid and start time: pids are used again, and other workers start thousands of processes."""


@contextlib.contextmanager
def adoption() -> Iterator[None]:
    """Be the parent of all orphans below us for a while, and reap them: later tests count children."""
    strangers, libc = _descendants(os.getpid()), ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        for pid, _ in _descendants(os.getpid()) - strangers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


class Room:
    """A directory that holds all files of the runs under test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._runs: set[int] = set()
        self._strangers = {one for one in _descendants(os.getpid()) if one[0] != os.getpid()}
        self._makers: set[_Process] = set()
        self._note_makers()

    def started(self, pid: int) -> None:
        """Count what a run makes as ours; it was started just now."""
        self._runs.add(pid)
        self._note_makers()

    def census(self) -> frozenset[str]:
        """All there is, as "kind: name"."""
        self._note_makers()
        kinds = {
            "mount": self._mounts,
            "cgroup": self._cgroups,
            "link": self._links,
            "netns": self._namespaces,
            "nft table": self._tables,
            "process": self._processes,
            "file": self._files,
        }
        return frozenset(f"{kind}: {name}" for kind, find in kinds.items() for name in find())

    def left(self, before: frozenset[str], patience_s: float = PATIENCE_S) -> frozenset[str]:
        """What has come since a census and does not go. What others left late may have gone meanwhile."""
        found: frozenset[str] = at_last(
            lambda: self.census() - before, frozenset(), every_s=0.1, patience_s=patience_s
        )
        return found

    def watch(self, child: subprocess.Popen[str]) -> tuple[frozenset[str], str, str]:
        """All that was ever seen until `child` ended, and what it wrote to its outputs."""
        seen = self.census()
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return seen, *child.communicate(timeout=2.0)
            seen |= self.census()

    def _note_makers(self) -> None:
        self._makers |= _descendants(os.getpid()) - self._strangers

    def _ours(self, owner: _Process | None) -> bool:
        """Whether it is of a run, or of what a run has started, as a daemon's spawner is."""
        return owner is None or owner in self._makers

    def _mounts(self) -> Iterator[str]:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if str(self.path) in line:
                yield line.split()[4]

    def _cgroups(self) -> Iterator[str]:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            target, kind = line.split()[4], line.rpartition(" - ")[2].split()[0]
            if kind in ("cgroup", "cgroup2"):
                for path in Path(target).iterdir():
                    if path.is_dir() and path.name.startswith(_PREFIXES) and self._ours(_owner(path.name)):
                        yield str(path)

    def _links(self) -> Iterator[str]:
        for path in Path("/sys/class/net").iterdir():
            found = _LINK.fullmatch(path.name)
            if found:
                bearer = path / "master" if found[1] else path
                if path.exists() and self._ours(_owner(_read(bearer / "ifalias"))):
                    yield path.name

    def _namespaces(self) -> Iterator[str]:
        for path in Path("/run/netns").glob("*"):
            if path.name.startswith(("nn", "nv", "nw")):
                yield path.name

    def _tables(self) -> Iterator[str]:
        done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            name = line.split()[-1]
            if name.startswith("nn") and self._ours(_owner(name)):
                yield name

    def _processes(self) -> Iterator[str]:
        ours = {pid for pid, _ in _descendants(os.getpid()) - self._strangers} - {os.getpid()}
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            command = _read(entry / "cmdline").replace("\0", " ").strip()
            inside = str(self.path) in command or _link(entry / "root").startswith(str(self.path))
            if (pid in ours or inside) and not self._reaped(pid):
                yield f"{pid} {command or _read(entry / 'comm').strip()}"

    def _reaped(self, pid: int) -> bool:
        """Take an orphan that has ended off the process table. A run that Popen waits for is left to it."""
        if pid in self._runs:
            return not _read(Path(f"/proc/{pid}/cmdline"))
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        return not Path(f"/proc/{pid}").exists()

    def _files(self) -> Iterator[str]:
        for pattern in (
            "backends/host/*",
            "backends/nnd/*",
            "backends/runtime/run/*",
            "backends/vm/run/*",
            "scratch/*",
            "tmp/*",
        ):
            yield from map(str, self.path.glob(pattern))
        for directory in (Path("/run"), Path("/dev/shm")):
            for path in directory.iterdir():
                ours = path.name.startswith(_PREFIXES) and self._ours(_owner(path.name))
                if ours and path != _LOCKS:
                    yield str(path)


def kinds(census: frozenset[str]) -> set[str]:
    """The kinds of things in a census."""
    return {item.partition(": ")[0] for item in census}


def _owner(text: str) -> _Process | None:
    """The owner that a name or an alias states, None when it states none."""
    if of_a_vm := parse_mark(text):
        return of_a_vm.pid, of_a_vm.starttime
    owner = Owner.parse(text)
    return (owner.pid, owner.start) if owner else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _descendants(pid: int) -> set[_Process]:
    """`pid` and all below it."""
    parents, starts = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        stat = _read(entry / "stat")
        if stat:
            fields = stat.rpartition(")")[2].split()
            parents[int(entry.name)], starts[int(entry.name)] = int(fields[1]), int(fields[19])
    found, size = {pid}, 0
    while len(found) != size:
        size = len(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return {(one, starts[one]) for one in found}
