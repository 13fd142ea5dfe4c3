"""All checks of the host that may spoil or prevent a measurement, in the order in which they are shown.

A check changes nothing. The checks are in `cpu`, `memory`, `noise`, `storage`, `system`, `tools` and
`tuning`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.host import cpu, memory, noise, storage, system, tuning
from bench.host.check import Check

__all__ = ["Check", "host_checks", "planned"]


def planned() -> tuple[int, ...]:
    """Return the CPUs that every arm gets without `--cpus`: the first two that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0))[:2])


def host_checks(storage_at: Path, root: Path = Path("/"), cpus: Sequence[int] | None = None) -> list[Check]:
    """Check the host itself, in about a third of a second.

    storage_at: the directory of images. cpus: those planned for every arm. root: for tests.
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
