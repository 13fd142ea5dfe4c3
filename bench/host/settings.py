"""What `ninetynine tune` changes, as data: which file, to what, and what that does to which metric.

Only settings with a stated effect on a metric, whose change leaves the programs under test as they are used.
What is not touched, though other tools do, stands in LEFT with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from bench.host.check import cpu_list, cpu_set, text


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting of the kernel's.

    files: a path below / that may hold wildcards. wanted: what is written; None: the CPUs that no arm uses,
    as a list. least: a present value that is this or smaller is left alone (for figures).
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
        effect="cpu, memory, startup: the clock no longer rises during a slice",
    ),
    Setting(
        name="turbo (intel)",
        files="sys/devices/system/cpu/intel_pstate/no_turbo",
        wanted="1",
        effect="cpu, memory: the clock no longer depends on heat and on the neighbour's work",
    ),
    Setting(
        name="turbo",
        files="sys/devices/system/cpu/cpufreq/boost",
        wanted="0",
        effect="cpu, memory: the clock no longer depends on heat and on the neighbour's work",
    ),
    Setting(
        name="numa balancing",
        files="proc/sys/kernel/numa_balancing",
        wanted="0",
        effect="memory: pages are no longer unmapped and moved inside a slice",
    ),
    Setting(
        name="ksm",
        files="sys/kernel/mm/ksm/run",
        wanted="0",
        effect="memory.per_instance, cpu: pages of VMs are no longer compared and merged in the background",
    ),
    Setting(
        name="compaction",
        files="proc/sys/vm/compaction_proactiveness",
        wanted="0",
        effect="memory, startup: pages are no longer moved together ahead of need, inside a slice",
    ),
    Setting(
        name="swappiness",
        files="proc/sys/vm/swappiness",
        wanted="1",
        effect="memory, startup: pages of idle instances stay while page cache can go",
        least=True,
    ),
    Setting(
        name="nmi watchdog",
        files="proc/sys/kernel/nmi_watchdog",
        wanted="0",
        effect="cpu: no interrupt of every CPU every few seconds, and its performance counter is free",
    ),
    Setting(
        name="interrupts",
        files="proc/irq/[0-9]*/smp_affinity_list",
        wanted=None,
        effect="all metrics: devices interrupt CPUs that no arm uses",
    ),
)

LEFT: Mapping[str, str] = {
    "aslr": "stays on: layouts are randomised from session to session on purpose: no lucky one decides",
    "smt": "is reported only: CPUs that are switched off are gone for everything that runs here; use --cpus",
    "thp": "is reported only: programs are used with the host's setting, so they are measured with it",
    "mitigations": "are reported only: they are part of what a container costs",
    "idle states": "are reported only: without them a wake-up is faster than on any host in use",
    "perf_event_paranoid": "has no effect on a metric: the suite uses no performance counters",
}
"""What is not touched → why."""


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a setting. do: `change` it, or leave it because it is `fine`, `absent` or `refused`, with
    the reason in `why`. path has no leading slash."""

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
    """What would be done here. cpus: those planned for the arms. Changes nothing."""
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
        return _item(setting, relative, present, wanted, "fine", "it is so already")
    if setting.wanted is None and cpu_set(present) and cpu_set(present) <= cpu_set(wanted):
        return _item(setting, relative, present, wanted, "fine", "it is off the planned CPUs already")
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
    """What to write, and why nothing can be ("" where it can)."""
    if setting.wanted is not None:
        return setting.wanted, ""
    free = cpu_set(text(root / "sys/devices/system/cpu/online")) - set(cpus)
    return (cpu_list(free), "") if free else ("", "every CPU is planned for the arms")
