"""The result model: frozen structs for all that a run plans, measures and concludes.

`SCHEMA_VERSION` is written into every `run.json`; a reader refuses a major version it does not know.
Times are host `CLOCK_MONOTONIC` nanoseconds, sizes are bytes, ratios are arm / baseline.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = "1.1"

Better = Literal["higher", "lower"]
Role = Literal["primary", "stress", "info"]
State = Literal["supported", "refuted", "inconclusive", "not measured"]
NetworkMode = Literal["none", "host", "bridge", "nat"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What a number means. `name` is dotted and never changes once published.

    A *primary* metric decides a claim, a *stress* one gets a verdict of its own and explains, an *info* one
    is shown and never judged. The role is fixed before any result (measurement method, rule 11).
    """

    name: str
    unit: str
    better: Better
    role: Role
    definition: str


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `samples.parquet`. `valid=False` keeps the value and says why in `reason`.

    The last six say how quiet the host was during the whole slice (None: the host does not tell, null in
    Parquet): the share of it in which some task waited for a CPU (PSI) and that a hypervisor gave to others,
    the mean clock of the planned CPUs, context switches and busy CPU seconds of the whole host. take counts
    the repetitions of a slice that was taken under pressure: 0 is the first.
    """

    run: str
    session: int
    block: int
    order: int
    scenario: str
    backend: str
    metric: str
    unit: str
    better: Better
    value: float
    start_ns: int
    duration_ns: int
    valid: bool = True
    reason: str = ""
    stall_share: float | None = None
    steal_share: float | None = None
    frequency_mhz: float | None = None
    switches: int | None = None
    busy_s: float | None = None
    take: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `verdicts.json`. Numbers are null where there is no estimate; `reason` says why."""

    claim: str
    metric: str
    backend: str
    baseline: str
    estimate: float | None
    low: float | None
    high: float | None
    margin: float | None
    alpha: float
    n_sessions: int
    n_pairs: int
    verdict: State
    reason: str


class NotMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """Something the plan asked for that did not run. `metric` is empty when a whole backend is missing."""

    backend: str
    metric: str
    reason: str


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The one image of a run: manifest digest, and the digest computed again when the run ended."""

    reference: str
    digest: str
    layers: tuple[str, ...]
    source: str
    digest_after: str = ""


class BackendInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A system under test as found on this host: its final name (`vm-tcg`), version and what it cannot do."""

    name: str
    version: str
    accelerator: str = ""
    limits: tuple[str, ...] = ()
    details: dict[str, str] = {}


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """The host a run was taken on. Two runs are comparable only where `machine_id` and `kernel` agree."""

    machine_id: str
    hostname: str
    cpu_model: str
    cpus: int
    memory_bytes: int
    kernel: str
    distribution: str
    python: str
    cgroup_layout: str
    mitigations: dict[str, str]
    clocksource: str
    governor: str
    smt: str
    virtualization: str
    filesystem: str
    thp: str
    tools: dict[str, str]


class ArmPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the design: a backend under its samples' name (`host`, `host-b`, `runtime`, …).

    role control: a second copy of the arm `twin_of` (negative control). role positive: the baseline's backend
    doing `extra` more work in each slice that can (0.02 = 2 %), which has to be found.
    """

    name: str
    backend: str
    role: Literal["baseline", "arm", "control", "positive"]
    twin_of: str = ""
    extra: float = 0.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One visit of the plan: scenario × arm at its place. `order` counts from 0 over the whole run."""

    order: int
    session: int
    block: int
    group: str
    scenario: str
    arm: str


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """When a run may look at its data: after session `first` and after each further one, up to `last`.

    What a look decides is measured no more; the error of looking often is paid for (bench.stats.sequential).
    """

    first: int
    last: int


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario that a look found decided for an arm: after how many sessions of the run."""

    scenario: str
    arm: str
    sessions: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A seeded, complete order of a run. The same inputs and seed give the same plan, byte for byte.

    It holds the most that may be measured; a look leaves out what is decided, the clock what does not fit.
    looks: None where nothing is looked at before the end.
    """

    profile: str
    seed: int
    arms: tuple[ArmPlan, ...]
    scenarios: tuple[str, ...]
    metrics: tuple[Metric, ...]
    sessions: int
    steps: tuple[Step, ...]
    cpus: tuple[int, ...]
    budget_s: float
    looks: Looks | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: all that is needed to repeat a run and to believe it.

    closed: what looks found decided. sessions_run: sessions that were walked to their end (None: not ended).
    """

    schema: str
    id: str
    command: tuple[str, ...]
    started: str
    ended: str
    status: Literal["running", "interrupted", "complete", "failed"]
    plan: Plan
    host: Fingerprint
    image: ImageInfo | None
    backends: tuple[BackendInfo, ...]
    not_measured: tuple[NotMeasured, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    closed: tuple[Closed, ...] = ()
    sessions_run: int | None = None
