"""A classic-BPF compiler for seccomp: verdicts on system call numbers become a balanced tree.

A list of N comparisons costs each call N/2 instructions, and the same for each number in the kernel's own
pass over all numbers at load time; a tree of ranges with equal verdicts costs log2 of the number of ranges.

Code is assembled from blocks with relative, forward-only jumps. Conditional jumps reach 255 instructions;
over a longer subtree an unconditional one is inserted.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
KILL_THREAD = 0
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000

AUDIT_ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000
FULL = 0xFFFF_FFFF_FFFF_FFFF
MAX_INSTRUCTIONS = 4096

_LOAD, _AND, _RETURN, _JUMP = 0x20, 0x54, 0x06, 0x05
_JEQ, _JGT, _JGE, _JSET = 0x15, 0x25, 0x35, 0x45
_NR, _ARCH, _ARGS = 0, 4, 16
_REACH = 255
_INSTRUCTION = struct.Struct("<HBBI")


class FilterError(ValueError):
    """The filter cannot be compiled."""


class Condition(msgspec.Struct, frozen=True):
    """A test on one 64-bit argument: `op` is eq, ne, lt, le, ge, gt, or masked (argument & mask == value)."""

    index: int
    op: str
    value: int
    mask: int = FULL


class Rule(msgspec.Struct, frozen=True):
    """`action` if all conditions hold."""

    action: int
    conditions: tuple[Condition, ...] = ()


Verdict = int | tuple[Rule, ...]
"""An action, or rules tried in order; the last one has no conditions."""


class Instruction(NamedTuple):
    """One BPF instruction; a jump of None goes to the end of its rule."""

    code: int
    k: int
    true: int | None = 0
    false: int | None = 0


Block = list[Instruction]


class SyscallTable(msgspec.Struct, frozen=True):
    """The verdicts of one system call table. Numbers above the highest listed get `newer`.

    The table of x86_64 also holds x32's own calls (512…547); calls of both ABIs have the same numbers.
    """

    verdicts: Mapping[int, Verdict]
    default: int
    newer: int


def compile_filter(machines: Mapping[str, SyscallTable]) -> bytes:
    """Return the BPF code for tables by name (`x86_64`, `i386`, `aarch64`).

    A call from any other machine kills the process. Bit 30 of a number, which marks a call of x32, is
    ignored: the table of x86_64 covers both (see SyscallTable). Raises FilterError when the code is longer
    than the kernel takes.
    """
    code: Block = [Instruction(_LOAD, _ARCH)]
    for name, machine in machines.items():
        number = [Instruction(_LOAD, _NR)]
        if name == "x86_64":
            number.append(Instruction(_AND, ~X32_BIT & 0xFFFFFFFF))
        code += _unless(Instruction(_JEQ, AUDIT_ARCH[name]), [*number, *_numbers(machine)])
    code.append(Instruction(_RETURN, KILL_PROCESS))
    if len(code) > MAX_INSTRUCTIONS:
        raise FilterError(f"the filter has {len(code)} instructions, the kernel takes {MAX_INSTRUCTIONS}")
    return b"".join(_INSTRUCTION.pack(i.code, i.true or 0, i.false or 0, i.k) for i in code)


def _unless(test: Instruction, body: Block) -> Block:
    """Run `body` if the test holds, else skip it."""
    if len(body) <= _REACH:
        return [test._replace(true=0, false=len(body)), *body]
    return [test._replace(true=1, false=0), Instruction(_JUMP, len(body)), *body]


def _segments(machine: SyscallTable) -> list[tuple[int, Verdict]]:
    """Return ranges of equal verdicts as (first number, verdict), ascending from 0."""
    segments: list[tuple[int, Verdict]] = []
    last = max(machine.verdicts, default=-1)
    for number in range(last + 2):
        verdict = machine.newer if number > last else machine.verdicts.get(number, machine.default)
        if not segments or segments[-1][1] != verdict:
            segments.append((number, verdict))
    return segments


def _numbers(machine: SyscallTable) -> Block:
    """Return the tree of a table: comparisons first, then each verdict's code once, to which all leaves jump.

    The kernel compiles a filter again for each process that loads it, so its length adds to each start.
    """
    segments = _segments(machine)
    nodes = _tree(segments, 0)
    leaves: dict[Verdict, int] = {}
    tail: Block = []
    for verdict in dict.fromkeys(verdict for _, verdict in segments):
        leaves[verdict] = len(nodes) + len(tail)
        tail += _leaf(verdict)
    if len(nodes) + len(tail) > _REACH:
        return _plain_tree(segments)
    code = [
        Instruction(_JGE, node.number, _distance(at, node.high, leaves), _distance(at, node.low, leaves))
        for at, node in enumerate(nodes)
    ]
    return [*code, *tail]


class _Node(NamedTuple):
    """`number` and above go to `high`, lower ones to `low`: a node's index or a one-tuple of a verdict."""

    number: int
    high: int | tuple[Verdict]
    low: int | tuple[Verdict]


def _tree(segments: list[tuple[int, Verdict]], start: int) -> list[_Node]:
    """Return the nodes of a balanced tree over `segments`; the first has the index `start`."""
    if len(segments) == 1:
        return []
    middle = len(segments) // 2
    low = _tree(segments[:middle], start + 1)
    high = _tree(segments[middle:], start + 1 + len(low))
    node = _Node(
        segments[middle][0],
        start + 1 + len(low) if high else (segments[middle][1],),
        start + 1 if low else (segments[0][1],),
    )
    return [node, *low, *high]


def _distance(at: int, target: int | tuple[Verdict], leaves: Mapping[Verdict, int]) -> int:
    where = target if isinstance(target, int) else leaves[target[0]]
    return where - at - 1


def _plain_tree(segments: list[tuple[int, Verdict]]) -> Block:
    """Return the tree of a table that is too long for jumps to shared code: each leaf has its own."""
    if len(segments) == 1:
        return _leaf(segments[0][1])
    middle = len(segments) // 2
    low, high = _plain_tree(segments[:middle]), _plain_tree(segments[middle:])
    test = Instruction(_JGE, segments[middle][0])
    if len(low) <= _REACH:
        return [test._replace(true=len(low)), *low, *high]
    return [test._replace(true=0, false=1), Instruction(_JUMP, len(low)), *low, *high]


def _leaf(verdict: Verdict) -> Block:
    if isinstance(verdict, int):
        return [Instruction(_RETURN, verdict)]
    block: Block = []
    for rule in verdict:
        block += _rule(rule)
    return block


def _rule(rule: Rule) -> Block:
    """Test all conditions, then return the action; a jump to None goes to the next rule."""
    block: Block = []
    for condition in rule.conditions:
        block += _condition(condition)
    block.append(Instruction(_RETURN, rule.action))
    end = len(block)
    return [
        i._replace(
            true=end - at - 1 if i.true is None else i.true,
            false=end - at - 1 if i.false is None else i.false,
        )
        for at, i in enumerate(block)
    ]


def _condition(c: Condition) -> Block:
    """Compare 64 bits in two halves; a jump to None means that the condition does not hold."""
    high, low = c.value >> 32, c.value & 0xFFFFFFFF
    load_low = Instruction(_LOAD, _ARGS + 8 * c.index)
    load_high = Instruction(_LOAD, _ARGS + 8 * c.index + 4)
    if c.op == "masked":
        return [*_masked(load_high, c.mask >> 32, high), *_masked(load_low, c.mask & 0xFFFFFFFF, low)]
    match c.op:
        case "eq":
            return [load_high, Instruction(_JEQ, high, 0, None), load_low, Instruction(_JEQ, low, 0, None)]
        case "ne":
            return [load_high, Instruction(_JEQ, high, 0, 2), load_low, Instruction(_JEQ, low, None, 0)]
        case "gt" | "ge":
            last = Instruction(_JGT if c.op == "gt" else _JGE, low, 0, None)
            return [
                load_high,
                Instruction(_JGT, high, 3, 0),
                Instruction(_JEQ, high, 0, None),
                load_low,
                last,
            ]
        case "lt" | "le":
            last = Instruction(_JGE if c.op == "lt" else _JGT, low, None, 0)
            return [
                load_high,
                Instruction(_JGT, high, None, 0),
                Instruction(_JEQ, high, 0, 2),
                load_low,
                last,
            ]
        case _:
            raise FilterError(f"unknown comparison {c.op!r}; use eq, ne, lt, le, ge, gt or masked")


def _masked(load: Instruction, mask: int, value: int) -> Block:
    if mask == 0 and value == 0:
        return []
    if value == 0:
        return [load, Instruction(_JSET, mask, None, 0)]
    return [load, Instruction(_AND, mask), Instruction(_JEQ, value, 0, None)]
