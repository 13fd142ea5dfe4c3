"""Whether two runs may be compared: every item that must agree, what it would spoil, and what is only told.

Three weights. *never*: another machine is another experiment, whatever was allowed. *refused*: it changes
what is measured, so a difference would be read as the work of the change under test; who wants to see exactly
that allows the item by name. *noted*: what a change under test normally consists of, or what does not reach
the measured programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from bench.model import Run

Weight = Literal["never", "refused", "allowed", "noted"]

MEMORY_TOLERANCE = 0.01
"""MemTotal moves by some MiB from kernel to kernel; a module of memory is far more than 1 %."""


class CompareError(Exception):
    """Two runs cannot be compared: names the run, what is wrong with it, and what to do."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One item in which two runs differ. weight `allowed`: it would be refused, and was allowed by name."""

    item: str
    old: str
    new: str
    weight: Weight
    why: str


class UnlikeRunsError(CompareError):
    """Hosts or images differ. `differences` has every item that does, the gravest first."""

    def __init__(self, message: str, differences: Sequence[Difference]) -> None:
        super().__init__(message)
        self.differences = tuple(differences)


class RunFact(msgspec.Struct, frozen=True):
    """A fact of a run as text, or a table of facts of which only those that differ are told."""

    name: str
    weight: Weight
    why: str
    read: Callable[[Run], str | Mapping[str, str]]


ITEMS = (
    RunFact("machine", "never", "another machine is another experiment", lambda r: r.host.machine_id),
    RunFact("cpu", "refused", "other instructions, caches and clocks", lambda r: r.host.cpu_model),
    RunFact("cpus", "refused", "more or fewer CPUs to run on", lambda r: str(r.host.cpus)),
    RunFact("placement", "refused", "the arms ran on other CPUs", lambda r: _numbers(r.plan.cpus)),
    RunFact("memory", "refused", "another page cache and other pressure", lambda r: str(r.host.memory_bytes)),
    RunFact("kernel", "refused", "isolation and the network are the kernel's", lambda r: r.host.kernel),
    RunFact("cgroups", "refused", "other accounting in each system call", lambda r: r.host.cgroup_layout),
    RunFact("mitigations", "refused", "they cost where the kernel is entered", lambda r: r.host.mitigations),
    RunFact("governor", "refused", "the clock follows the load otherwise", lambda r: r.host.governor),
    RunFact("smt", "refused", "a neighbour on the same core", lambda r: r.host.smt),
    RunFact("clocksource", "refused", "reading the clock costs otherwise", lambda r: r.host.clocksource),
    RunFact("thp", "refused", "page faults and page walks", lambda r: r.host.thp),
    RunFact("virtualization", "refused", "the host runs in something else", lambda r: r.host.virtualization),
    RunFact("filesystem", "refused", "layers and volumes lie on something else", lambda r: r.host.filesystem),
    RunFact("image", "refused", "other programs were measured", lambda r: _digest(r)),
    RunFact("image-tools", "refused", "the tools that measure", lambda r: _versions(r, inside=True)),
    RunFact("hostname", "noted", "a name", lambda r: r.host.hostname),
    RunFact("distribution", "noted", "programs come from the image", lambda r: r.host.distribution),
    RunFact("python", "noted", "it drives the measurement only", lambda r: r.host.python),
    RunFact("host-tools", "noted", "systems under test, or what they stand on", lambda r: r.host.tools),
    RunFact("packages", "noted", "this suite and what it stands on", lambda r: _versions(r, inside=False)),
    RunFact("backends", "noted", "systems under test", lambda r: {b.name: b.version for b in r.backends}),
    RunFact("profile", "noted", "another number of sessions, the same slices", lambda r: r.plan.profile),
)  # fmt: skip

ALLOWABLE = tuple(item.name for item in ITEMS if item.weight == "refused")


def differences(old: Run, new: Run, allowed: Iterable[str] = ()) -> list[Difference]:
    """Every item that differs, the gravest first. allowed: names out of ALLOWABLE that shall not refuse."""
    spared = frozenset(allowed)
    found = []
    for item in ITEMS:
        before, after = item.read(old), item.read(new)
        if before == after or (item.name == "memory" and _close(old, new)):
            continue
        weight: Weight = "allowed" if item.weight == "refused" and item.name in spared else item.weight
        told = _told(before, after)
        found.append(Difference(item=item.name, old=told[0], new=told[1], weight=weight, why=item.why))
    return sorted(found, key=lambda one: ("never", "refused", "allowed", "noted").index(one.weight))


def refusing(found: Iterable[Difference]) -> list[Difference]:
    """Those that forbid the comparison."""
    return [one for one in found if one.weight in ("never", "refused")]


def _told(before: str | Mapping[str, str], after: str | Mapping[str, str]) -> tuple[str, str]:
    if isinstance(before, str) or isinstance(after, str):
        return str(before) or "unknown", str(after) or "unknown"
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return _listed(before, names), _listed(after, names)


def _listed(facts: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name}: {facts.get(name, 'not there')}" for name in names)


def _close(old: Run, new: Run) -> bool:
    sizes = old.host.memory_bytes, new.host.memory_bytes
    return max(sizes) - min(sizes) <= MEMORY_TOLERANCE * max(sizes)


def _digest(run: Run) -> str:
    return run.image.digest if run.image else "none"


def _numbers(cpus: Iterable[int]) -> str:
    return ",".join(map(str, cpus)) or "none"


def _versions(run: Run, *, inside: bool) -> dict[str, str]:
    return {name: version for name, version in run.versions.items() if name.startswith("image/") == inside}
