"""The host and the systems as found, in words for the end of the page."""

from __future__ import annotations

from bench.model import Fingerprint, Run
from reports import arms
from reports.words import quantity

Facts = tuple[tuple[str, str], ...]


def facts(host: Fingerprint) -> Facts:
    """What a reader needs to judge whether this machine is like theirs."""
    return (
        ("CPU", host.cpu_model),
        ("CPUs", f"{host.cpus} (SMT {host.smt})"),
        ("Memory", quantity(host.memory_bytes, "bytes")),
        ("Kernel", host.kernel),
        ("Distribution", host.distribution),
        ("cgroups", host.cgroup_layout),
        ("Virtualization", host.virtualization or "none seen"),
        ("Frequency governor", host.governor),
        ("Clock source", host.clocksource),
        ("File system", host.filesystem),
        ("Transparent huge pages", host.thp),
        ("Python", host.python),
        ("Host name", host.hostname),
        ("Machine", host.machine_id),
    )


def systems(run: Run) -> tuple[tuple[str, str, str, str], ...]:
    """Each system under test with its version, accelerator and limits."""
    return tuple(
        (arms.label(found.name), found.version, found.accelerator or "–", "; ".join(found.limits) or "–")
        for found in run.backends
    )


def versions(run: Run) -> Facts:
    """Every version recorded, then the kernel's mitigations."""
    return (
        *sorted({**run.host.tools, **run.versions}.items()),
        *((f"mitigation {name}", state) for name, state in sorted(run.host.mitigations.items())),
    )
