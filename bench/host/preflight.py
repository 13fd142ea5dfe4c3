"""What about this host can spoil a measurement, or prevent it: all checks in the order they are shown.

A check changes nothing. The ideas are in `cpu`, `memory`, `noise`, `storage`, `system` and `tools`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.host import cpu, memory, noise, storage, system, tuning
from bench.host.check import Check

__all__ = ["Check", "host_checks", "planned"]


def planned() -> tuple[int, ...]:
    """The CPUs every arm gets unless `--cpus` says otherwise: the first two this process may use."""
    return tuple(sorted(os.sched_getaffinity(0))[:2])


def host_checks(storage_at: Path, root: Path = Path("/"), cpus: Sequence[int] | None = None) -> list[Check]:
    """All checks of the host itself, in about a third of a second.

    storage_at: where images lie. cpus: those planned for every arm. root: for tests.
    """
    chosen = planned() if cpus is None else cpus
    return [
        *system.checks(root),
        *cpu.checks(root, chosen),
        tuning.check(tuning.Tuner(root, chosen)),
        *noise.checks(root),
        *memory.checks(root),
        *storage.checks(storage_at, root),
    ]
