"""The result model: frozen structs for everything that a run plans, measures and concludes.

`SCHEMA_VERSION` is written into every `run.json`. Results of older minor versions are brought to this one as
they are read (`bench.upgrade`); a reader refuses a major version that it does not know.
Times are host `CLOCK_MONOTONIC` nanoseconds, sizes are bytes, ratios are arm / baseline.

What a program needs to know stands in a field of its own. Texts (`reason`, `notes`) are for people: nothing
reads them, so they may be worded anew at any time.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Literal

import msgspec

SCHEMA_VERSION = "1.3"

Better = Literal["higher", "lower"]
Role = Literal["primary", "stress", "info"]
State = Literal["supported", "refuted", "inconclusive", "not measured"]
NetworkMode = Literal["none", "host", "bridge", "nat"]

Kind = Literal["host", "container", "vm"]
"""What the programs of an arm run in."""

SetAside = Literal["", "pressure", "failed", "rejected"]
"""Why a sample does not count: the slice was taken under pressure and repeated, it failed and has no value,
or the scenario rejected its own reading. Empty where the sample counts."""

Pairing = Literal["", "single", "copies"]
"""What a ratio's pairs are made of: one slice of each arm, or the mean of an arm and its second copy in the
block (of either side, where it has one). Empty where nothing is paired."""

EndedBecause = Literal["decided", "nothing left", "last session", "budget", "interrupted"]
"""What ended the measuring: every pair that decides a claim was decided, none of the undecided ones could
still be measured or was within reach, the plan or the time budget was used up, or somebody interrupted it."""

RunStatus = Literal["running", "interrupted", "complete", "failed"]

Place = tuple[str, str]
"""(scenario, arm)."""

ALL = "*"
"""As the metric of a verdict: the primary metrics of its claim together. As its arm: no arm in particular."""

JOINT = "joint"
"""As the metric of a control's verdict: all its metrics together."""

CHECKS = "check"
"""The family that no user asks for: it comes with every slice."""

AA, POSITIVE, CLOCK = "control.aa", "control.positive", "check.clock"
INSTRUMENT = frozenset({AA, POSITIVE, CLOCK})
"""Claims of verdicts that are about the instrument, not about a system: the controls and the clock checks."""

EMULATED = "emulated CPU (TCG): not evidence about virtual machines in general"


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
    """One row of `samples.parquet`.

    value: None where the slice gave none. valid: whether the sample counts; where it does not, `set_aside`
    says why and `reason` says it in words.

    The five from `stall_share` on say how quiet the host was during the whole slice (None where the host does
    not report it): the share of the slice in which some task waited for a CPU (PSI), the share that a
    hypervisor gave to others, the mean clock of the planned CPUs, context switches and busy CPU seconds of
    the whole host. take: 0 for the first take of a slice, counted up where it was repeated under pressure.
    """

    run: str
    session: int
    block: int
    order: int
    scenario: str
    arm: str
    metric: str
    unit: str
    better: Better
    value: float | None
    start_ns: int
    duration_ns: int
    valid: bool = True
    set_aside: SetAside = ""
    reason: str = ""
    stall_share: float | None = None
    steal_share: float | None = None
    frequency_mhz: float | None = None
    switches: int | None = None
    busy_s: float | None = None
    take: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `verdicts.json`. Numbers are null where there is no estimate.

    notes: why the verdict is what it is, what was left out, what else a reader should know; a sentence each.
    emulated: the arm or its baseline ran on an emulated CPU. pairing: how its pairs were formed.
    out_of_reach: the run gave it up as too noisy to be decided here in its time; minutes: of measuring that
    would settle it, all by itself (None: not in sight, or not out of reach).
    """

    claim: str
    metric: str
    arm: str
    baseline: str
    estimate: float | None
    low: float | None
    high: float | None
    margin: float | None
    alpha: float
    n_sessions: int
    n_pairs: int
    verdict: State
    notes: tuple[str, ...] = ()
    emulated: bool = False
    pairing: Pairing = ""
    out_of_reach: bool = False
    minutes: float | None = None

    @property
    def reason(self) -> str:
        """The notes in one line, for people."""
        emulated = self.emulated and self.verdict != "not measured"
        return "; ".join((*self.notes, *((EMULATED,) if emulated else ())))


class NotMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was asked for and not measured.

    metric: empty where all of an arm is missing. arm: the backend's name where the backend is not available,
    so that its arms could not be planned.
    """

    arm: str
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
    """A system under test as found on this host: its arm's name (`vm-tcg`), version and what it cannot do."""

    name: str
    kind: Kind
    version: str
    accelerator: str = ""
    limits: tuple[str, ...] = ()
    details: dict[str, str] = {}

    @property
    def emulated(self) -> bool:
        """Whether its processor is software (QEMU's TCG)."""
        return self.accelerator == "tcg"


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
    """One column of the design: a backend under the name of its samples (`host`, `host-b`, `runtime`, …).

    backend: the name that the user types. kind, emulated: what its programs run in, and whether the processor
    is software. role control: a second copy of the arm `twin_of` (negative control). role positive: the
    baseline's backend doing `extra` more work in each slice that can (0.02 = 2 %), which has to be found.
    """

    name: str
    backend: str
    kind: Kind
    emulated: bool = False
    role: Literal["baseline", "arm", "control", "positive"]
    twin_of: str = ""
    extra: float = 0.0

    @property
    def is_system(self) -> bool:
        """Whether it is a system under test."""
        return self.role == "arm"

    @property
    def is_control(self) -> bool:
        """Whether it tests the instrument and is not a system under test."""
        return self.role in ("control", "positive")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One visit of the plan: a scenario on an arm. `order` counts from 0 over the whole run."""

    order: int
    session: int
    block: int
    group: str
    scenario: str
    arm: str


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """When a run may look at its data: after session `core` and after each further one, up to `last`.

    first: sessions that a comparison needs before a look may decide it; core: of the run before its first
    look (0: as many as `first`), of which a comparison may have only some. What a look decides is not
    measured any more. bench.stats.sequential corrects for looking often.
    """

    first: int
    last: int
    core: int = 0


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario that a look found decided for an arm, after so many sessions of the run."""

    scenario: str
    arm: str
    sessions: int


class OutOfReach(msgspec.Struct, frozen=True, kw_only=True):
    """What a look gave up: too noisy here to be decided for an arm in the time that was left.

    sessions: of the run, at that look. seconds: of measuring that would settle it from there on, all by
    itself (None: not in sight). The estimate's place has no part in it where it says less than the noise
    alone.
    """

    scenario: str
    arm: str
    sessions: int
    seconds: float | None


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that visits (by scenario, then arm) and starts of instances (by arm) took on this host.

    run: the last complete run that they were learnt from.
    """

    run: str
    visits: dict[str, dict[str, float]]
    starts: dict[str, float]


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A seeded, complete order of a run. The same inputs and seed give the same plan, byte for byte.

    It holds the most that may be measured; a look leaves out what is decided, the clock what does not fit.
    looks: None where the run looks at its data only at its end. pairing: whether second copies count in the
    pairs of their arms; fixed with the plan, so that a look and the judge read the same pairs. thinned:
    scenarios that have every second session of the core only, or one, or none, since one visit of everything
    takes too much of the budget. until_decided: the run goes on past the profile's budget while a claim is
    open and in reach, so that what only explains is not measured after the core. first_budget_s: that budget,
    which its core is for (None: budget_s itself). prices: what visits were known to cost on this host (None:
    by the profile's forecast). left_out: backend → families for which the profile has no time. by_turns:
    scenarios whose arms run by turns of milliseconds, where none of them is a virtual machine. every: what
    does not, unless it is cheap, and slow arms have one of so many sessions of the core. The rest of the
    suite asks here which arm has which part in the design.
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
    pairing: Pairing = "single"
    thinned: tuple[str, ...] = ()
    until_decided: bool = False
    first_budget_s: float | None = None
    prices: Prices | None = None
    left_out: dict[str, tuple[str, ...]] = {}
    by_turns: tuple[str, ...] = ()
    every: int = 1

    @cached_property
    def arm(self) -> dict[str, ArmPlan]:
        """The arms by name."""
        return {arm.name: arm for arm in self.arms}

    @property
    def core(self) -> int:
        """Sessions before the first look at the data; all where the run looks only at its end."""
        return (self.looks.core or self.looks.first) if self.looks else self.sessions

    @cached_property
    def baseline(self) -> str:
        """The arm that the others are measured against; "host" in a plan without one."""
        return next((arm.name for arm in self.arms if arm.role == "baseline"), "host")

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The systems under test."""
        return tuple(arm.name for arm in self.arms if arm.is_system)

    @cached_property
    def families(self) -> tuple[str, ...]:
        """The families that were asked for and could be planned: the first parts of its metrics' names."""
        found = dict.fromkeys(metric.name.partition(".")[0] for metric in self.metrics)
        return tuple(name for name in found if name != CHECKS)

    @cached_property
    def subjects(self) -> frozenset[str]:
        """The systems that the run is for: those with a second copy, all where none has one."""
        twinned = {original for _, original in self.copies}
        return frozenset(twinned.intersection(self.systems) or self.judged)

    @cached_property
    def copies(self) -> tuple[tuple[str, str], ...]:
        """(second copy, the arm it is a copy of) of each negative control."""
        return tuple((arm.name, arm.twin_of) for arm in self.arms if arm.role == "control")

    @cached_property
    def counted(self) -> dict[str, str]:
        """Second copies that count in the pairs of what they copy. A run of the host alone judges its
        copy."""
        return dict(self.copies) if self.pairing == "copies" and self.systems else {}

    @cached_property
    def positive(self) -> ArmPlan | None:
        """The positive control, where the plan has one."""
        return next((arm for arm in self.arms if arm.role == "positive"), None)

    @cached_property
    def controls(self) -> frozenset[str]:
        """Arms that test the instrument: the second copies and the positive control."""
        return frozenset(arm.name for arm in self.arms if arm.is_control)

    @cached_property
    def judged(self) -> frozenset[str]:
        """The arms whose verdicts the run is for: its systems, or the copies in a run of the host alone."""
        return frozenset(self.systems or (copy for copy, _ in self.copies))

    @cached_property
    def ends(self) -> dict[Place, int]:
        """Sessions after which the plan has nothing more of a (scenario, arm)."""
        ends: dict[Place, int] = {}
        for step in self.steps:
            place = (step.scenario, step.arm)
            ends[place] = max(ends.get(place, 0), step.session + 1)
        return ends

    @cached_property
    def in_core(self) -> dict[Place, int]:
        """How many sessions of the core have a (scenario, arm)."""
        found = {(step.scenario, step.arm, step.session) for step in self.steps if step.session < self.core}
        return Counter((scenario, arm) for scenario, arm, _ in found)

    @cached_property
    def shown_only(self) -> frozenset[str]:
        """Metrics that are shown and never judged."""
        return frozenset(metric.name for metric in self.metrics if metric.role == "info")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: all that is needed to repeat a run and to believe it.

    closed: what looks found decided; out_of_reach: what they gave up. sessions_run, ended_because: whole
    sessions that were measured, and what ended the measuring (None: it has not ended, or an older version did
    not record it).
    """

    schema: str
    id: str
    command: tuple[str, ...]
    started: str
    ended: str
    status: RunStatus
    plan: Plan
    host: Fingerprint
    image: ImageInfo | None
    backends: tuple[BackendInfo, ...]
    not_measured: tuple[NotMeasured, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    closed: tuple[Closed, ...] = ()
    out_of_reach: tuple[OutOfReach, ...] = ()
    sessions_run: int | None = None
    ended_because: EndedBecause | None = None
