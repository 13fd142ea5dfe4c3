"""The Scenario protocol: named metrics, the instance they need, and one short measurement."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from bench.backends.base import Backend, BackendError, Channel, Instance, InstanceSpec
from bench.model import Metric


class ScenarioError(Exception):
    """A slice failed: names the program and what it printed. It becomes an invalid sample, not a crash."""


def error_text(error: Exception) -> str:
    """Return an error in one line: our own as they are, any other (a bug) with its type."""
    if isinstance(error, BackendError | ScenarioError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value of one of the scenario's metrics, with host stamps around the work."""

    metric: str
    value: float
    start_ns: int
    duration_ns: int
    valid: bool = True
    reason: str = ""


class Context(msgspec.Struct, kw_only=True):
    """What a slice may use. `instance` and `worker` are None for scenarios that start instances themselves.

    `worker` is a shell inside the instance, kept for the session (see bench.scenarios.worker). The network
    family has `wire`, the link to the remote peer (bench.wire.Wire); the image family has `registry`
    (bench.counting_registry.CountingRegistry). Both are typed loosely: scenarios may not import them.
    extra: the share of additional work that the positive control does (0.02 = 2 %), 0 for all other arms.
    """

    backend: Backend
    instance: Instance | None
    worker: Channel | None
    wire: object | None
    session: int
    block: int
    cpus: tuple[int, ...]
    extra: float = 0.0
    registry: object | None = None


class Scenario(Protocol):
    """One workload. A new one is an entry in a file of bench/scenarios/."""

    name: str
    family: str
    metrics: tuple[Metric, ...]
    kind: Literal["slice", "instance"]
    """slice: short fixed work in the session's instance; instance: starts and stops instances itself."""

    cost_s: float
    """Expected seconds of one visit on the host, from which the plan fits blocks into the budget."""

    every_nth_block: int
    """Visited in every n-th block of a session (1 = in all)."""

    scales_work: bool
    """Whether a slice does `context.extra` more work when asked to. The positive control takes only those."""

    def spec(self) -> InstanceSpec:
        """Return the instance that a slice needs; the plan adds cpus. Equal specs share one instance."""

    def run(self, context: Context) -> list[Reading]:
        """Measure once. Raises ScenarioError."""
