"""The arms of a run, and what each attends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from bench.model import ArmPlan, BackendInfo
from bench.plan.choice import is_primary
from bench.scenarios.base import Scenario

EXTRA = 0.02
"""Extra work of the positive control: the loss that a run has to find at a margin of 1 %."""

TWINNED = "runtime"
"""The backend with a second copy of its own, like the host: the subject of the suite."""


def arms_for(found: Mapping[str, BackendInfo]) -> tuple[ArmPlan, ...]:
    """The arms of a run, each control beside what it copies. found: by the name that the user types."""
    arms: list[ArmPlan] = []
    for backend, info in found.items():
        arm = ArmPlan(name=info.name, backend=backend, kind=info.kind, emulated=info.emulated, role="arm")
        if backend != "host":
            arms.append(arm)
        if backend == TWINNED:
            arms.append(_copy(arm))
    host = ArmPlan(name="host", backend="host", kind="host", role="baseline")
    positive = msgspec.structs.replace(host, name=f"host-{100 * EXTRA:g}pct", role="positive", extra=EXTRA)
    return (host, _copy(host), positive, *arms)


def _copy(arm: ArmPlan) -> ArmPlan:
    return msgspec.structs.replace(arm, name=f"{arm.name}-b", role="control", twin_of=arm.name)


def serves(arm: ArmPlan, scenario: Scenario) -> bool:
    """Whether a plan has a use for an arm on a scenario: a control attends what decides claims.

    The positive control attends where it can do more work; the host's second copy attends everything, since
    every ratio rests on the host.
    """
    if arm.extra:
        return scenario.scales_work and is_primary(scenario)
    return not arm.is_control or arm.kind == "host" or is_primary(scenario)


def neighbours(arms: Iterable[ArmPlan]) -> tuple[tuple[str, str], ...]:
    """The pairs that verdicts about the run's subject rest on: baseline and subject, and their copies."""
    copy = {arm.twin_of: arm.name for arm in arms if arm.twin_of}
    base = next((arm.name for arm in arms if arm.role == "baseline"), "")
    subject = next((arm.name for arm in arms if arm.is_system and arm.name in copy), "")
    return ((base, subject), (copy[base], copy[subject])) if subject and base in copy else ()
