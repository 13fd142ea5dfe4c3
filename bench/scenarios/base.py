"""What a workload is: named metrics, the instance it needs, and one short measurement of it."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from bench.backends.base import Backend, Channel, Instance, InstanceSpec
from bench.model import Metric


class ScenarioError(Exception):
    """A slice failed: names the program and what it printed. Becomes an invalid sample, not a crash."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value of one of the scenario's metrics, with host stamps around the work."""

    metric: str
    value: float
    start_ns: int
    duration_ns: int
    valid: bool = True
    reason: str = ""


class Context(msgspec.Struct, kw_only=True):
    """What a slice may use. `instance` and `worker` are None for scenarios that start their own instances.

    `worker` is a shell inside the instance, kept for the session (see bench.scenarios.worker); `wire` is the
    link to the remote peer, present for the network family (bench.wire.Wire, typed loosely: layers), `depot`
    the registry that counts, for the image family (bench.counting_registry.Depot).
    extra: the share of more work that the positive control does (0.02 = 2 %), 0 for all other arms.
    """

    backend: Backend
    instance: Instance | None
    worker: Channel | None
    wire: object | None
    session: int
    block: int
    cpus: tuple[int, ...]
    extra: float = 0.0
    depot: object | None = None


class Scenario(Protocol):
    """One workload. A new one is one new entry in a file of bench/scenarios/."""

    name: str
    family: str
    metrics: tuple[Metric, ...]
    kind: Literal["slice", "instance"]
    """slice: short fixed work in the session's long-lived instance; instance: starts and stops its own."""

    cost_s: float
    """Expected seconds of one visit on the host; the planner fits the blocks to the budget with it."""

    every: int
    """Visited in every n-th block of a session (1 = in all)."""

    loads: bool
    """Does a slice do `context.extra` more work when asked to? The positive control takes only those."""

    def spec(self) -> InstanceSpec:
        """The instance a slice runs in, without cpus (the plan adds them). Equal specs share one instance."""

    def run(self, context: Context) -> list[Reading]:
        """Measure once. Raises ScenarioError."""
