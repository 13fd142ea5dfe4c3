"""The commands that go on from a run: to be pasted as they stand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.cli.console import command
from bench.model import Plan
from bench.profiles import PROFILES

CHECKS = "check"
"""The family that no user asks for: it comes with every slice."""


def families_of(plan: Plan) -> list[str]:
    """The families that a run was asked for: the first parts of its metrics' names."""
    found = dict.fromkeys(metric.name.partition(".")[0] for metric in plan.metrics)
    return [name for name in found if name != CHECKS]


def repeat(plan: Plan, all_families: Sequence[str]) -> str:
    """The command that makes the same plan again, whatever is installed by then; its number of turns also
    goes by the prices that are known by then (bench.model.Prices)."""
    words: list[object] = ["run"]
    if plan.profile != "quick":
        words += ["--profile", plan.profile]
    backends = dict.fromkeys(arm.backend for arm in plan.arms if arm.is_system)
    words += ["--seed", plan.seed, "--backends", ",".join(backends) or "host"]
    families = families_of(plan)
    if set(families) != set(all_families) - {CHECKS}:
        words += ["--families", ",".join(families)]
    usual, budget_s = PROFILES.get(plan.profile), plan.first_budget_s or plan.budget_s
    if usual is None or usual.budget_s != budget_s:
        words += ["--budget", f"{budget_s:g}"]
    if plan.until_decided:
        words += ["--until-decided", "--at-most", f"{plan.budget_s:g}s"]
    if plan.cpus and plan.cpus != tuple(sorted(os.sched_getaffinity(0)))[: len(plan.cpus)]:
        words += ["--cpus", ",".join(map(str, plan.cpus))]
    return command(*words)


def resume(directory: Path) -> str:
    """The command that goes on with a run that was cut."""
    return command("run", "--resume", directory)


def show_all(directory: Path) -> str:
    """The command that shows the rest."""
    return command("show", directory, "--all")
