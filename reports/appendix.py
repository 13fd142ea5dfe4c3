"""The end of the page: the host and the systems as found, and what was not measured."""

from __future__ import annotations

import shlex

import msgspec

from bench.answers.words import quantity
from bench.model import Fingerprint, Run
from reports.arms import Legend

Facts = tuple[tuple[str, str], ...]


def facts(host: Fingerprint) -> Facts:
    """What a reader needs to judge whether this machine is like theirs."""
    found = (
        ("CPU", host.cpu_model),
        ("CPUs", f"{host.cpus} (SMT {host.smt.replace('notsupported', 'not supported')})"),
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
    return tuple((name, value or "could not be read") for name, value in found)


def repeat(run: Run) -> str:
    """The command that measures the same elsewhere, from the plan: it may be a run that `compare` made."""
    plan = run.plan
    backends = dict.fromkeys(arm.backend for arm in plan.arms if not arm.is_control)
    whole = plan.left_out.keys().isdisjoint(backends)  # those that are named are measured in all families
    options = {
        "--profile": plan.profile,
        "--backends": ",".join(backends) if whole else "",
        "--families": ",".join(plan.families),
        "--cpus": ",".join(map(str, plan.cpus)),
        "--budget": f"{plan.first_budget_s or plan.budget_s:g}",
        "--seed": str(plan.seed),
    }
    words = [word for option in options.items() if option[1] for word in option]
    until = ["--until-decided", "--at-most", f"{plan.budget_s:g}s"] if plan.until_decided else []
    return shlex.join(["ninetynine", "run", *words, *until])


def systems(run: Run) -> tuple[tuple[str, str, str, str], ...]:
    """Each system under test with its version, accelerator and limits."""
    legend = Legend(run.plan.arms)
    return tuple(
        (legend.label(found.name), found.version, found.accelerator or "–", "; ".join(found.limits) or "–")
        for found in run.backends
    )


class Gap(msgspec.Struct, frozen=True):
    """What was not measured on a system for one reason; no metrics where all of the system is missing."""

    system: str
    metrics: tuple[str, ...]
    reason: str


def gaps(run: Run) -> list[Gap]:
    """What was not measured, whole systems first, metrics with the same reason together."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for item in sorted(run.not_measured, key=lambda item: item.metric != ""):
        grouped.setdefault((item.arm, item.reason), []).append(item.metric)
    legend = Legend(run.plan.arms)
    return [
        Gap(legend.label(arm), tuple(metric for metric in metrics if metric), reason)
        for (arm, reason), metrics in grouped.items()
    ]


def versions(run: Run) -> Facts:
    """Every version recorded, then the kernel's mitigations."""
    return (
        *sorted({**run.host.tools, **run.versions}.items()),
        *((f"mitigation {name}", state) for name, state in sorted(run.host.mitigations.items())),
    )
