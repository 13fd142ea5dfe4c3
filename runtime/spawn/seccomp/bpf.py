"""A classic-BPF compiler for seccomp: verdicts on system call numbers become a balanced tree of comparisons.

A list of N comparisons in a row costs every call N/2 instructions and the kernel's own bitmap pass at load
all of them; ranges in a tree cost log2 of the number of ranges.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import msgspec

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000

AUDIT_ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
X32_BIT = 0x40000000

_LOAD = 0x20
_JEQ, _JGE, _JSET = 0x15, 0x35, 0x45
_AND, _RET, _JA = 0x54, 0x06, 0x05
_NR, _ARCH = 0, 4
_INSTRUCTION = struct.Struct("<HBBI")
MAX_INSTRUCTIONS = 4096


class FilterError(ValueError):
    """A filter that cannot be compiled."""


class Condition(msgspec.Struct, frozen=True):
    """A test on one 64-bit argument: `op` is eq, ne, lt, le, ge, gt, or masked (argument & mask == value)."""

    index: int
    op: str
    value: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


class Rule(msgspec.Struct, frozen=True):
    """`action` when all conditions hold."""

    action: int
    conditions: tuple[Condition, ...] = ()


Verdict = int | tuple[Rule, ...]
"""An action, or rules tried in order; the last of them has no conditions."""
