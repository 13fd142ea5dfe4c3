"""What `ninetynine tune` changes, as data: the file, the value, and the effect on metrics.

A setting is here only if it has an effect on a metric and programs behave as usual with it. LEFT lists
settings that other tools change and `tune` does not, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from bench.host.check import cpu_list, cpu_set, text


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of the kernel.

    files: a path below / with wildcards. wanted: the value to write; None: the CPUs that no arm uses, as a
    list. least: leave the present number alone if it is at most `wanted`.
    """

    name: str
    files: str
    wanted: str | None
    effect: str
    least: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="governor",
        files="sys/devices/system/cpu/cpufreq/policy[0-9]*/scaling_governor",
        wanted="performance",
        effect="cpu, memory, startup: the clock frequency no longer rises during a slice",
    ),
    Setting(
        name="turbo (intel)",
        files="sys/devices/system/cpu/intel_pstate/no_turbo",
        wanted="1",
        effect="cpu, memory: the clock frequency no longer depends on heat and on other cores",
    ),
    Setting(
        name="turbo",
        files="sys/devices/system/cpu/cpufreq/boost",
        wanted="0",
        effect="cpu, memory: the clock frequency no longer depends on heat and on other cores",
    ),
    Setting(
        name="numa balancing",
        files="proc/sys/kernel/numa_balancing",
        wanted="0",
        effect="memory: pages are no longer unmapped and moved during a slice",
    ),
    Setting(
        name="ksm",
        files="sys/kernel/mm/ksm/run",
        wanted="0",
        effect="memory.per_instance, cpu: pages of VMs are no longer merged in the background",
    ),
    Setting(
        name="compaction",
        files="proc/sys/vm/compaction_proactiveness",
        wanted="0",
        effect="memory, startup: memory is no longer compacted in advance, during a slice",
    ),
    Setting(
        name="swappiness",
        files="proc/sys/vm/swappiness",
        wanted="1",
        effect="memory, startup: page cache is dropped before pages of idle instances",
        least=True,
    ),
    Setting(
        name="nmi watchdog",
        files="proc/sys/kernel/nmi_watchdog",
        wanted="0",
        effect="cpu: no interrupt on every CPU every few seconds",
    ),
    Setting(
        name="interrupts",
        files="proc/irq/[0-9]*/smp_affinity_list",
        wanted=None,
        effect="all metrics: devices interrupt CPUs that no arm uses",
    ),
)

LEFT: Mapping[str, str] = {
    "aslr": "stays on: memory layouts differ between sessions on purpose, so that no lucky one decides",
    "smt": "is only reported: switching CPUs off affects everything that runs here; use --cpus",
    "thp": "is only reported: programs are used with the host's setting, so they are measured with it",
    "mitigations": "are only reported: they are part of what a container costs",
    "idle states": "are only reported: without them wake-ups are faster than on hosts in use",
    "perf_event_paranoid": "has no effect on a metric: the suite uses no performance counters",
}
"""Settings that are left alone → why."""


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a setting. do: `change` it, or leave it alone because it is `fine`, `absent` or `refused`,
    for the reason in `why`. path has no leading slash."""

    setting: str
    path: str
    present: str
    wanted: str
    do: Literal["change", "fine", "absent", "refused"]
    effect: str
    why: str = ""


def plan(
    root: Path = Path("/"), cpus: Sequence[int] = (), settings: Sequence[Setting] = SETTINGS
) -> Iterator[PlannedChange]:
    """Yield what would be done here; changes nothing. cpus: those planned for the arms."""
    for setting in settings:
        wanted, why = _wanted(setting, root, cpus)
        paths = sorted(root.glob(setting.files))
        if not paths or why:
            why = why or "this host has no such setting"
            yield _item(setting, f"{setting.files}", "", wanted, "absent", why)
        for path in paths if not why else ():
            yield _file(setting, root, path, wanted)


def _file(setting: Setting, root: Path, path: Path, wanted: str) -> PlannedChange:
    present, relative = text(path), str(path.relative_to(root))
    if not present:
        return _item(setting, relative, present, wanted, "refused", "it cannot be read")
    if present == wanted or (setting.least and present.isdigit() and int(present) <= int(wanted)):
        return _item(setting, relative, present, wanted, "fine", "already so")
    if setting.wanted is None and cpu_set(present) and cpu_set(present) <= cpu_set(wanted):
        return _item(setting, relative, present, wanted, "fine", "already off the planned CPUs")
    if not os.access(path, os.W_OK):
        return _item(setting, relative, present, wanted, "refused", "it cannot be written")
    return _item(setting, relative, present, wanted, "change", "")


def _item(
    setting: Setting,
    path: str,
    present: str,
    wanted: str,
    do: Literal["change", "fine", "absent", "refused"],
    why: str,
) -> PlannedChange:
    return PlannedChange(
        setting=setting.name,
        path=path,
        present=present,
        wanted=wanted,
        do=do,
        effect=setting.effect,
        why=why,
    )


def _wanted(setting: Setting, root: Path, cpus: Sequence[int]) -> tuple[str, str]:
    """Return the value to write, and why it cannot be changed ("" if it can)."""
    if setting.wanted is not None:
        return setting.wanted, ""
    free = cpu_set(text(root / "sys/devices/system/cpu/online")) - set(cpus)
    return (cpu_list(free), "") if free else ("", "every CPU is planned for the arms")
