"""Whether two runs may be compared: the items that must agree and why, and those that are only noted.

Three weights. *never*: another machine is another experiment; it cannot be allowed. *refused*: the item
changes what is measured, so its effect would be mistaken for that of the change under test; to measure
exactly that, allow the item by name. *noted*: items that a change under test normally consists of, or that do
not affect the measured programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from bench.errors import ExpectedError
from bench.model import Run

Weight = Literal["never", "refused", "allowed", "noted"]

MEMORY_TOLERANCE = 0.01
"""MemTotal differs by some MiB between kernels; a memory module is far more than 1 %."""


class CompareError(ExpectedError):
    """Two runs cannot be compared: names the run, what is wrong with it, and what to do."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One item in which two runs differ. weight `allowed`: it would be refused, but was allowed by name."""

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
    """A fact of a run as text, or a table of facts; only the rows that differ are shown.

    shared: rows that only one run has do not count.
    """

    name: str
    weight: Weight
    why: str
    read: Callable[[Run], str | Mapping[str, str]]
    shared: bool = False


ITEMS = (
    RunFact("machine", "never", "another machine is another experiment", lambda r: r.host.machine_id),
    RunFact("cpu", "refused", "other instructions, caches and clocks", lambda r: r.host.cpu_model),
    RunFact("cpus", "refused", "more or fewer CPUs to run on", lambda r: str(r.host.cpus)),
    RunFact("placement", "refused", "the arms ran on other CPUs", lambda r: _numbers(r.plan.cpus)),
    RunFact("memory", "refused", "another page cache and other pressure", lambda r: str(r.host.memory_bytes)),
    RunFact("kernel", "refused", "isolation and the network are the kernel's", lambda r: r.host.kernel),
    RunFact("cgroups", "refused", "other accounting in system calls", lambda r: r.host.cgroup_layout),
    RunFact("mitigations", "refused", "they slow down kernel entries", lambda r: r.host.mitigations),
    RunFact("governor", "refused", "the clock follows the load differently", lambda r: r.host.governor),
    RunFact("smt", "refused", "a neighbour on the same core", lambda r: r.host.smt),
    RunFact("clocksource", "refused", "reading the clock costs more or less", lambda r: r.host.clocksource),
    RunFact("thp", "refused", "page faults and page walks", lambda r: r.host.thp),
    RunFact("virtualization", "refused", "another hypervisor, or none", lambda r: r.host.virtualization),
    RunFact("filesystem", "refused", "layers and volumes are elsewhere", lambda r: r.host.filesystem),
    RunFact("image", "refused", "other programs were measured", lambda r: _digest(r)),
    RunFact("image-tools", "refused", "the tools that measure", lambda r: _versions(r, inside=True)),
    RunFact(
        "metrics",
        "refused",
        "other work under the same name",
        lambda r: {metric.name: metric.definition for metric in r.plan.metrics},
        shared=True,
    ),
    RunFact("hostname", "noted", "a name", lambda r: r.host.hostname),
    RunFact("distribution", "noted", "programs come from the image", lambda r: r.host.distribution),
    RunFact("python", "noted", "it only drives the measurement", lambda r: r.host.python),
    RunFact("host-tools", "noted", "systems under test, or what they depend on", lambda r: r.host.tools),
    RunFact("packages", "noted", "this suite and what it depends on", lambda r: _versions(r, inside=False)),
    RunFact("backends", "noted", "systems under test", lambda r: {b.name: b.version for b in r.backends}),
    RunFact("profile", "noted", "another number of sessions, the same slices", lambda r: r.plan.profile),
)  # fmt: skip

ALLOWABLE = tuple(item.name for item in ITEMS if item.weight == "refused")


def differences(old: Run, new: Run, allowed: Iterable[str] = ()) -> list[Difference]:
    """Return the items that differ, the gravest first. allowed: names from ALLOWABLE that do not refuse."""
    spared = frozenset(allowed)
    found = []
    for item in ITEMS:
        before, after = item.read(old), item.read(new)
        if item.shared and not isinstance(before, str) and not isinstance(after, str):
            before = {name: text for name, text in before.items() if name in after}
            after = {name: text for name, text in after.items() if name in before}
        if before == after or (item.name == "memory" and _close(old, new)):
            continue
        weight: Weight = "allowed" if item.weight == "refused" and item.name in spared else item.weight
        shown = _shown(before, after)
        found.append(Difference(item=item.name, old=shown[0], new=shown[1], weight=weight, why=item.why))
    return sorted(found, key=lambda one: ("never", "refused", "allowed", "noted").index(one.weight))


def refusing(found: Iterable[Difference]) -> list[Difference]:
    """Return those that forbid the comparison."""
    return [one for one in found if one.weight in ("never", "refused")]


def _shown(before: str | Mapping[str, str], after: str | Mapping[str, str]) -> tuple[str, str]:
    if isinstance(before, str) or isinstance(after, str):
        return str(before) or "unknown", str(after) or "unknown"
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return _listed(before, names), _listed(after, names)


def _listed(facts: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name}: {facts.get(name, 'missing')}" for name in names)


def _close(old: Run, new: Run) -> bool:
    sizes = old.host.memory_bytes, new.host.memory_bytes
    return max(sizes) - min(sizes) <= MEMORY_TOLERANCE * max(sizes)


def _digest(run: Run) -> str:
    return run.image.digest if run.image else "none"


def _numbers(cpus: Iterable[int]) -> str:
    return ",".join(map(str, cpus)) or "none"


def _versions(run: Run, *, inside: bool) -> dict[str, str]:
    return {name: version for name, version in run.versions.items() if name.startswith("image/") == inside}
