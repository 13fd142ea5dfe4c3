"""Checks of memory: how much is free, and what moves, merges or swaps pages during a slice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.host.check import Check, Fact, Topic, chosen, meminfo, one_of

MIB = 1 << 20
NEEDED = 2 << 30
"""Bytes needed for the idle instances of all arms and the buffers of the memory family."""

SWAPPED = 64 * MIB
"""With more bytes in swap, pages of a slice may be among them."""

FACTS = (
    Fact(
        name="thp",
        paths=("sys/kernel/mm/transparent_hugepage/enabled",),
        fine=lambda found: chosen(found) != "always",
        effect="memory, cpu.page_fault: with `always`, the share of huge pages differs between sessions",
        fix="echo madvise > {path}; `tune` leaves it alone, because programs are used with it",
        shown=chosen,
    ),
    Fact(
        name="aslr",
        paths=("proc/sys/kernel/randomize_va_space",),
        fine=one_of("2"),
        effect="cpu, memory: if off, all sessions share one memory layout, which may be a lucky one",
        fix="sysctl kernel.randomize_va_space=2",
        shown=lambda found: {"0": "off", "1": "without the heap", "2": "on"}.get(found, found),
    ),
    Fact(
        name="numa balancing",
        paths=("proc/sys/kernel/numa_balancing",),
        fine=one_of("0"),
        effect="memory: pages are unmapped and moved during a slice",
        fix="ninetynine tune, or: sysctl kernel.numa_balancing=0",
        shown=lambda found: "off" if found == "0" else "on",
    ),
    Fact(
        name="ksm",
        paths=("sys/kernel/mm/ksm/run",),
        fine=one_of("0"),
        effect="memory.per_instance, cpu: equal pages of VMs are merged in the background",
        fix="ninetynine tune, or: echo 0 > {path}",
        shown=lambda found: "off" if found == "0" else "on",
    ),
)


def checks(root: Path) -> Iterator[Check]:
    """Yield all checks of this module."""
    yield available(root)
    yield swap(root)
    yield from (fact.look(root) for fact in FACTS)


def available(root: Path) -> Check:
    """Check the available memory."""
    about = Topic("memory", "memory, vm: with too little, pages are reclaimed and swapped during a slice")
    size = meminfo(root, "MemAvailable")
    if size is None:
        return about("unknown", "no MemAvailable in /proc/meminfo")
    found = f"{size // MIB} MiB available"
    if size >= NEEDED:
        return about("ok", found)
    return about("warn", found, f"free {NEEDED // MIB} MiB")


def swap(root: Path) -> Check:
    """Check whether pages are in swap."""
    about = Topic("swap", "memory, startup: pages are read back from disk during a slice")
    total, free = meminfo(root, "SwapTotal"), meminfo(root, "SwapFree")
    if total is None or free is None:
        return about("unknown", "no swap in /proc/meminfo")
    if not total:
        return about("ok", "none")
    found = f"{(total - free) // MIB} of {total // MIB} MiB in use"
    if total - free < SWAPPED:
        return about("ok", found)
    return about("warn", found, "swapoff -a && swapon -a")
