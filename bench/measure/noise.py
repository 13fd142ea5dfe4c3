"""How quiet the host was during a slice: pressure and steal, the clock, context switches, busy CPU seconds.

Read before and after a slice, some 50 µs each time, outside of what the slice itself stamps; None where the
kernel does not report it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

PRESSURE = Path("/proc/pressure/cpu")
STAT = Path("/proc/stat")
CPUINFO = Path("/proc/cpuinfo")
FREQUENCY = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
"""/proc/stat counts in ticks of this length, so a difference of two readings may be one tick too large."""

_BUSY = (1, 2, 3, 6, 7)
"""user, nice, system, irq, softirq (proc_stat(5)); a guest's time is in user, waiting for a disk is idle."""
_STEAL = 8


class SliceCounters(msgspec.Struct, frozen=True, kw_only=True):
    """Since boot: time in which tasks waited for a CPU (PSI) and in which the hypervisor ran somebody else on
    the planned CPUs, busy time and context switches of the whole host."""

    stall_us: int | None = None
    steal_us: int | None = None
    busy_us: int | None = None
    switches: int | None = None


class SliceConditions(msgspec.Struct, frozen=True, kw_only=True):
    """What the host was like during one slice, as in bench.model.Sample.

    tick_share: by how much steal_share may be too large, because the kernel counts in whole ticks.
    """

    stall_share: float | None = None
    steal_share: float | None = None
    frequency_mhz: float | None = None
    switches: int | None = None
    busy_s: float | None = None
    tick_share: float = 0.0


class Gauge:
    """Reads the conditions for the planned CPUs (none planned: of the whole host)."""

    def __init__(
        self,
        cpus: Sequence[int] = (),
        pressure: Path = PRESSURE,
        stat: Path = STAT,
        frequency: Callable[[], float | None] | None = None,
    ) -> None:
        self._cpus = tuple(cpus)
        self._pressure = pressure
        self._stat = stat
        self._frequency = frequency if frequency is not None else _frequency_reader(self._cpus)

    def read(self) -> SliceCounters:
        """The counters now."""
        stat = _lines(self._stat)
        names = [f"cpu{cpu}" for cpu in self._cpus] or ["cpu"]
        return SliceCounters(
            stall_us=_stall_us(self._pressure),
            steal_us=_ticks_us(stat, names, (_STEAL,)),
            busy_us=_ticks_us(stat, ["cpu"], _BUSY),
            switches=int(stat["ctxt"][1]) if len(stat.get("ctxt", ())) > 1 else None,
        )

    def conditions(self, before: SliceCounters, after: SliceCounters, duration_ns: int) -> SliceConditions:
        """The conditions between two readings that lie `duration_ns` apart."""
        wall_us = max(duration_ns / 1000, 1.0)
        cpu_us = wall_us * max(1, len(self._cpus))
        busy_us = _difference(before.busy_us, after.busy_us)
        return SliceConditions(
            stall_share=_share(before.stall_us, after.stall_us, wall_us),
            steal_share=_share(before.steal_us, after.steal_us, cpu_us),
            frequency_mhz=self._frequency(),
            switches=_difference(before.switches, after.switches),
            busy_s=None if busy_us is None else busy_us / 1e6,
            tick_share=TICK_US / cpu_us,
        )


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)


def _share(before: int | None, after: int | None, whole_us: float) -> float | None:
    grown = _difference(before, after)
    return None if grown is None else round(min(1.0, grown / whole_us), 4)


def _stall_us(path: Path) -> int | None:
    try:
        some = path.read_text().splitlines()[0]
        return int(some.rsplit("total=", 1)[1])
    except (OSError, IndexError, ValueError):
        return None


def _lines(path: Path) -> dict[str, list[str]]:
    """/proc/stat by the first word of each line; empty where it cannot be read."""
    try:
        return {words[0]: words for line in path.read_text().splitlines() if (words := line.split())}
    except OSError:
        return {}


def _ticks_us(stat: Mapping[str, list[str]], names: Sequence[str], fields: Sequence[int]) -> int | None:
    try:
        return TICK_US * sum(int(stat[name][field]) for name in names for field in fields)
    except (KeyError, IndexError, ValueError):
        return None


def _frequency_reader(cpus: Sequence[int]) -> Callable[[], float | None]:
    """How to read the planned CPUs' mean clock, MHz: cpufreq, else /proc/cpuinfo, else not at all."""
    paths = [Path(FREQUENCY.format(cpu)) for cpu in cpus or (0,)]
    if all(path.exists() for path in paths):
        return lambda: _mean_of_files(paths)
    # On a host of many CPUs cpuinfo asks each of them by an interrupt: that would be a disturbance itself.
    if (os.cpu_count() or 1) <= 8 and _mean_of_cpuinfo(cpus) is not None:
        return lambda: _mean_of_cpuinfo(cpus)
    return lambda: None


def _mean_of_files(paths: Sequence[Path]) -> float | None:
    try:
        return sum(int(path.read_text()) for path in paths) / len(paths) / 1000
    except (OSError, ValueError):
        return None


def _mean_of_cpuinfo(cpus: Sequence[int], path: Path = CPUINFO) -> float | None:
    found: dict[int, float] = {}
    cpu = -1
    try:
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "processor":
                cpu = int(value)
            elif name.strip() == "cpu MHz":
                found[cpu] = float(value)
        wanted = [found[cpu] for cpu in cpus] or list(found.values())
        return sum(wanted) / len(wanted)
    except (OSError, KeyError, ValueError, ZeroDivisionError):
        return None
