"""Plans that look at their data, for made-up samples whose scenarios carry their metrics' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.model import ArmPlan, Closed, Looks, Metric, Plan, Step

LOOKS = Looks(first=5, last=24)

ARMS = (
    ArmPlan(name="host", backend="host", role="baseline"),
    ArmPlan(name="host-b", backend="host", role="control", twin_of="host"),
    ArmPlan(name="runtime", backend="runtime", role="arm"),
    ArmPlan(name="runtime-b", backend="runtime", role="control", twin_of="runtime"),
    ArmPlan(name="host-2pct", backend="host", role="positive", extra=0.02),
)
HOST_ONLY = (ARMS[0], ARMS[1], ARMS[4])


def plan(
    scenarios: Sequence[str],
    *,
    arms: Sequence[ArmPlan] = ARMS,
    looks: Looks | None = LOOKS,
    info: Sequence[str] = (),
    attends: Mapping[str, int] | None = None,
    profile: str = "quick",
) -> Plan:
    """Every arm in every scenario, once a session; `attends`: the sessions of arms that come to fewer."""
    sessions = looks.last if looks else 6
    shown = (Metric(name=name, unit="s", better="lower", role="info", definition="") for name in info)
    steps = (
        (session, name, arm.name)
        for session in range(sessions)
        for name in scenarios
        for arm in arms
        if session < (attends or {}).get(arm.name, sessions)
    )
    return Plan(
        profile=profile,
        seed=1,
        arms=tuple(arms),
        scenarios=tuple(scenarios),
        metrics=tuple(shown),
        sessions=sessions,
        steps=tuple(
            Step(order=order, session=session, block=0, group="g", scenario=name, arm=arm)
            for order, (session, name, arm) in enumerate(steps)
        ),
        cpus=(0,),
        budget_s=1.0,
        looks=looks,
    )


def closed(scenario: str, arm: str, sessions: int) -> Closed:
    """What a look ended."""
    return Closed(scenario=scenario, arm=arm, sessions=sessions)
