"""Memory of a set of processes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the sum of the proportional set sizes: pages shared by n processes count 1/n in each.

    Processes that end meanwhile count nothing. Source: /proc/PID/smaps_rollup.
    """
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
