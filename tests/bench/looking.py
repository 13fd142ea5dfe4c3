"""Plans that look at their data, for made-up samples whose scenarios carry their metrics' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bench.model import ArmPlan, Closed, Looks, Metric, Plan, Step
from bench.testing import fake_info

LOOKS = Looks(first=5, last=24)

ARMS = (
    ArmPlan(name="host", backend="host", kind="host", role="baseline"),
    ArmPlan(name="host-b", backend="host", kind="host", role="control", twin_of="host"),
    ArmPlan(name="runtime", backend="runtime", kind="container", role="arm"),
    ArmPlan(name="runtime-b", backend="runtime", kind="container", role="control", twin_of="runtime"),
    ArmPlan(name="host-2pct", backend="host", kind="host", role="positive", extra=0.02),
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


def planned(frame: pd.DataFrame) -> Plan:
    """The plan of a run with these samples that looks only at its end; other arms are of the fakes' kinds."""
    known = {arm.name: arm for arm in ARMS}
    arms = [known[name] if name in known else _system(str(name)) for name in frame["arm"].unique()]
    return plan([str(name) for name in frame["scenario"].unique()], arms=arms, looks=None)


def _system(name: str) -> ArmPlan:
    info = fake_info(name)
    return ArmPlan(name=name, backend=name, kind=info.kind, emulated=info.emulated, role="arm")


def closed(scenario: str, arm: str, sessions: int) -> Closed:
    """What a look ended."""
    return Closed(scenario=scenario, arm=arm, sessions=sessions)
