"""All workloads and all metrics. A new workload is one entry in the file of its family."""

from __future__ import annotations

from bench.model import Metric
from bench.scenarios import check, cpu, disk, identical_output, images, lifecycle, memory, network, startup
from bench.scenarios.base import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *startup.SCENARIOS,
    *cpu.SCENARIOS,
    *memory.SCENARIOS,
    *network.SCENARIOS,
    *disk.SCENARIOS,
    *lifecycle.SCENARIOS,
    *images.SCENARIOS,
    *check.SCENARIOS,
    *identical_output.SCENARIOS,
)

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(scenario.family for scenario in SCENARIOS))

METRICS: dict[str, Metric] = {metric.name: metric for each in SCENARIOS for metric in each.metrics}
