"""Memory: how much is free, and what moves, merges or swaps pages behind a slice's back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.host.check import Check, Fact, chosen, meminfo, one_of

MIB = 1 << 20
NEEDED = 2 << 30
"""Bytes available for the idle instances of all arms and the memory family's buffers."""

SWAPPED = 64 * MIB
"""Bytes in swap from which pages of a slice may well be among them."""

FACTS = (
    Fact(
        name="thp",
        paths=("sys/kernel/mm/transparent_hugepage/enabled",),
        fine=lambda found: chosen(found) != "always",
        effect="memory, cpu.page_fault: with `always`, luck with large pages differs from session to session",
        fix="echo madvise > {path}; ninetynine leaves it alone, since programs are used with it as it is",
        shown=chosen,
    ),
    Fact(
        name="aslr",
        paths=("proc/sys/kernel/randomize_va_space",),
        fine=one_of("2"),
        effect="cpu, memory: with it off, every session shares one layout, and its luck looks like a fact",
        fix="sysctl kernel.randomize_va_space=2",
        shown=lambda found: {"0": "off", "1": "without the heap", "2": "on"}.get(found, found),
    ),
    Fact(
        name="numa balancing",
        paths=("proc/sys/kernel/numa_balancing",),
        fine=one_of("0"),
        effect="memory: pages are unmapped to see who touches them, and moved, inside a slice",
        fix="ninetynine tune, or: sysctl kernel.numa_balancing=0",
        shown=lambda found: "off" if found == "0" else "on",
    ),
    Fact(
        name="ksm",
        paths=("sys/kernel/mm/ksm/run",),
        fine=one_of("0"),
        effect="memory.per_instance, cpu: equal pages of VMs are looked for and merged in the background",
        fix="ninetynine tune, or: echo 0 > {path}",
        shown=lambda found: "off" if found == "0" else "on",
    ),
)


def checks(root: Path) -> Iterator[Check]:
    """All checks of this module."""
    yield available(root)
    yield swap(root)
    yield from (fact.look(root) for fact in FACTS)


def available(root: Path) -> Check:
    """Memory that is available now."""
    effect = "memory, vm: with too little, reclaim and swapping during a slice"
    size = meminfo(root, "MemAvailable")
    if size is None:
        found = "no MemAvailable in /proc/meminfo"
        return Check(name="memory", state="unknown", found=found, effect=effect)
    found = f"{size // MIB} MiB available"
    if size >= NEEDED:
        return Check(name="memory", state="ok", found=found, effect=effect)
    return Check(name="memory", state="warn", found=found, effect=effect, fix=f"free {NEEDED // MIB} MiB")


def swap(root: Path) -> Check:
    """Whether pages are in swap."""
    effect = "memory, startup: pages come back from disk in the middle of a slice"
    total, free = meminfo(root, "SwapTotal"), meminfo(root, "SwapFree")
    if total is None or free is None:
        return Check(name="swap", state="unknown", found="no swap in /proc/meminfo", effect=effect)
    if not total:
        return Check(name="swap", state="ok", found="none", effect=effect)
    found = f"{(total - free) // MIB} of {total // MIB} MiB in use"
    if total - free < SWAPPED:
        return Check(name="swap", state="ok", found=found, effect=effect)
    return Check(name="swap", state="warn", found=found, effect=effect, fix="swapoff -a && swapon -a")
