"""The Scenario protocol: named metrics, the instance they need, and one short measurement."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from bench.backends.base import Backend, BackendError, Channel, Instance, InstanceSpec
from bench.errors import ExpectedError
from bench.model import Metric

VOLUME = Path("/volume")
"""A placeholder in specs; the measurement replaces it by a directory of the run."""


class ScenarioError(ExpectedError):
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

    @classmethod
    def since(cls, start_ns: int, metric: Metric, value: float | None = None) -> Reading:
        """Return what work from `start_ns` until now gave: `value`, or without one its seconds."""
        duration_ns = time.monotonic_ns() - start_ns
        if value is None:
            value = duration_ns / 1e9
        return cls(metric=metric.name, value=value, start_ns=start_ns, duration_ns=duration_ns)


class Turns(msgspec.Struct, frozen=True, kw_only=True):
    """An arm's place where several run by turns (bench/workloads/turns.c): the `index`-th of `count`, each
    for `slot_ns` at a time, from `start_ns` of the host's CLOCK_MONOTONIC on."""

    start_ns: int
    slot_ns: int
    index: int
    count: int

    @property
    def argv(self) -> tuple[str, ...]:
        """What goes before a program's command line."""
        return ("/opt/ninetynine/turns", *map(str, (self.start_ns, self.slot_ns, self.index, self.count)))


class Context(msgspec.Struct, kw_only=True):
    """What a slice may use. `instance` and `worker` are None for scenarios that start instances themselves.

    `worker` is a shell inside the instance, kept for the session (see bench.scenarios.worker). The network
    family has `wire`, the link to the remote peer (bench.wire.Wire); the image family has `registry`
    (bench.counting_registry.CountingRegistry). Both are typed loosely: scenarios may not import them.
    extra: the share of additional work that the positive control does (0.02 = 2 %), 0 for all other arms.
    turns: this arm's place where a slice runs by turns with those of other arms. starts: by scenario, the CPU
    time that a start of its program took so far in this instance, nanoseconds.
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
    turns: Turns | None = None
    starts: dict[str, list[int]] = {}


class Scenario(Protocol):
    """One workload. A new one is an entry in a file of bench/scenarios/, usually a `Workload`."""

    name: str
    metrics: tuple[Metric, ...]
    kind: Literal["slice", "instance"]
    """slice: short fixed work in the session's instance; instance: starts and stops instances itself."""

    cost_s: float
    """Expected seconds of one visit on the host, from which the plan fits blocks into the budget."""

    every_nth_block: int
    """Visited in every n-th block of a session (1 = in all)."""

    scales_work: bool
    """Whether a slice does `context.extra` more work when asked to. The positive control takes only those."""

    by_turns: bool
    """Whether slices of several arms may run by turns of milliseconds: one thread at work, no waiting."""

    spec: InstanceSpec
    """The instance that a slice needs; the plan adds cpus. Equal specs share one instance."""

    from_start: bool
    """Whether a slow arm's readings may come from the start of the session's instance, by `of_start`."""

    @property
    def family(self) -> str:
        """Scenarios that belong together; the first part of the name."""

    def run(self, context: Context) -> list[Reading]:
        """Measure once. Raises ScenarioError."""

    def of_start(self, instance: Instance) -> list[Reading]:
        """The readings that a lasting instance's start gives, where `from_start`. Raises ScenarioError."""


class Workload(msgspec.Struct, kw_only=True):
    """Base class of scenarios; its defaults are those of a slice.

    All slices without a network have the same spec, so they share one instance per session: with the volume
    that the disk family needs.
    """

    name: str
    metrics: tuple[Metric, ...]
    cost_s: float
    every_nth_block: int = 1
    scales_work: bool = False
    by_turns: bool = False
    kind: Literal["slice", "instance"] = "slice"
    spec: InstanceSpec = InstanceSpec(volume=VOLUME)
    from_start: bool = False

    @property
    def family(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    def of_start(self, instance: Instance) -> list[Reading]:
        """Nothing, unless a workload says what."""
        raise ScenarioError(f"{self.name}: the start of {type(instance).__name__} gives no reading of it")


class InstanceWorkload(Workload, kw_only=True):
    """Base class of scenarios that start and stop instances themselves: here idle ones without a network."""

    kind: Literal["slice", "instance"] = "instance"
    spec: InstanceSpec = InstanceSpec()
