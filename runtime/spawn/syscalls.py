"""System call numbers by machine, from the kernel's headers (Linux 6.17)."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib import resources

MACHINE = os.uname().machine


@cache
def table(machine: str) -> dict[str, int]:
    """Return name → number for `x86_64`, `i386`, `x32` (without its bit 30) or `aarch64`.

    Raises NotImplementedError for another machine.
    """
    text = resources.files(__package__).joinpath("syscalls.json").read_text("ascii")
    tables: dict[str, dict[str, int]] = json.loads(text)
    if machine not in tables:
        raise NotImplementedError(f"no system call numbers for {machine}; known: {', '.join(tables)}")
    return tables[machine]


def number(name: str) -> int:
    """Return this machine's number of the call `name`; KeyError if it has no such call."""
    return table(MACHINE)[name]
