"""All workloads and all metrics, by family. A new workload is one entry in a family's file."""

from __future__ import annotations

from collections.abc import Collection

from bench.model import Metric
from bench.scenarios import cpu, disk, memory, network, startup
from bench.scenarios.base import Scenario, ScenarioError

SCENARIOS: tuple[Scenario, ...] = (
    *startup.SCENARIOS,
    *cpu.SCENARIOS,
    *memory.SCENARIOS,
    *network.SCENARIOS,
    *disk.SCENARIOS,
)

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(scenario.family for scenario in SCENARIOS))

METRICS: dict[str, Metric] = {metric.name: metric for each in SCENARIOS for metric in each.metrics}


def select(families: Collection[str]) -> tuple[Scenario, ...]:
    """Return the scenarios of these families, all for an empty collection, in registry order.

    Raises ScenarioError naming the known families.
    """
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise ScenarioError(
            f"unknown family {', '.join(map(repr, unknown))}: choose from {', '.join(FAMILIES)}"
        )
    return tuple(each for each in SCENARIOS if not families or each.family in families)
