"""How much time a run may take: the three profiles, and the forecast of how slow each arm is.

A pace is a forecast, never a result: it only decides how many blocks fit into the budget, and the time budget
of `bench.measure` corrects it. Figures err on the slow side.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.errors import ExpectedError
from bench.model import ArmPlan, Prices
from bench.scenarios.base import Scenario


class ProfileError(ExpectedError):
    """No such profile; the message names the known ones."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A budget and how to spend it.

    budget_s: seconds of measuring, after set-up. core_s: of these for the sessions before the first look (0:
    CORE_SHARE of them). sessions: fresh instances of every fast arm, the most.
    first_look: sessions of a comparison that a look needs (bench.model.Looks); 0: the run never looks.
    every: what does not run by turns, unless it is cheap, comes in one of so many sessions until the first
    look, and so do slow arms. pairs: visits of a session of the core of what decides a claim in PAIRED.
    slow_sessions: how many of the first ones slow arms may attend. per_family, slow_per_family: scenarios
    taken of each family (None = all; of a slow arm's it counts slices alone). slow_primary_only: slow arms
    skip scenarios without a primary metric.
    slow_visits: visits of a scenario in one session that a slow arm joins. warmup: which scenarios of a group
    are run once, uncounted, in fresh instances. max_visits: of a scenario in a session. left_out: backend →
    families for which there is no time here, unless the user names the backends.
    """

    name: str
    budget_s: float
    core_s: float = 0.0
    sessions: int
    first_look: int
    slow_sessions: int
    per_family: int | None
    slow_per_family: int | None
    slow_primary_only: bool
    slow_visits: int
    warmup: Literal["all", "cheapest", "none"]
    max_visits: int
    backends: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]] = {}
    every: int = 1
    pairs: int = 4


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Forecast of one arm: seconds to start and stop an instance, and how much longer its slices take.

    `factors` goes by scenario, else by family; what is in neither takes `factor` times as long as the host.
    `seconds`: of a visit by scenario, where it was measured on this host (bench.model.Prices).
    """

    start_s: float
    factor: float
    factors: dict[str, float] = {}
    slow: bool = False
    seconds: dict[str, float] = {}


USUAL = ("host", "runtime", "nnd", "vm", "docker", "crun")

# The first look comes when a verdict is possible at all: claims ask for four sessions. By turns, eight with
# two pairs each cost what four with four do, as fresh containers are cheap, and their t has seven degrees of
# freedom in place of three: at the first look an interval is half as wide. Each session more that might be
# looked at takes alpha from the looks before it, so there are no more than the budget reaches; what pairs of
# slices can tell is bought by more pairs in each (bench.measure.looks).
PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        name="smoke",
        budget_s=40.0,
        sessions=1,
        first_look=0,
        slow_sessions=1,
        per_family=2,
        slow_per_family=1,
        slow_primary_only=True,
        slow_visits=1,
        warmup="none",
        max_visits=1,
        backends=USUAL,
    ),
    "quick": Profile(
        name="quick",
        budget_s=340.0,
        sessions=16,
        first_look=4,
        every=2,
        pairs=2,
        slow_sessions=9,
        per_family=None,
        slow_per_family=1,
        slow_primary_only=True,
        slow_visits=1,
        warmup="cheapest",
        max_visits=12,
        backends=USUAL,
        left_out={
            "nnd": ("cpu", "memory", "disk"),
            "docker": ("cpu", "memory", "disk", "network", "image"),
            "crun": ("cpu", "memory", "disk", "network"),
        },
    ),
    "full": Profile(
        name="full",
        budget_s=5400.0,
        sessions=24,
        first_look=6,
        slow_sessions=12,
        per_family=None,
        slow_per_family=None,
        slow_primary_only=False,
        slow_visits=4,
        warmup="all",
        max_visits=24,
        backends=(*USUAL, "vm-untuned"),
    ),
}

MOST_SESSIONS = max(one.sessions for one in PROFILES.values())
"""What a user can ask for: a verdict that needs more is not in sight."""

MIN_SESSIONS = 4
"""The sessions whose primary metrics the guard never drops: claims ask for so many."""

CORE_SHARE = 0.5
"""Of the budget for the sessions before the first look. They have to decide what is easy (a transfer at line
rate, most of the cost of a block, is known to a thousandth by then); the rest is for what is not. Where one
visit of everything takes more, what no sentence rests on comes in every second of these sessions,
or in one (bench.model.Plan.thinned). tests/studies/time_to_decide.py simulates default runs."""

UNTIL_SESSIONS = 24
"""Of a run that goes on until all is decided. More would be looked at for a price: each look takes alpha."""

PAIRED = ("cpu", "memory")
"""Families whose slices are cheap and differ more than instances do: what decides a claim has several pairs
in each session of the core, which also shows how much of the noise is theirs (Kalibera & Jones 2013)."""

_PACES = {
    "runtime": Pace(start_s=0.02, factor=1.0),
    "crun": Pace(start_s=0.1, factor=1.0),
    "nnd": Pace(start_s=0.05, factor=1.0),
    "docker": Pace(start_s=0.5, factor=1.0, factors={"engine": 12.0, "image": 8.0}),
}
"""By backend. Of other backends, only what their programs run in is known."""

HOST = Pace(start_s=0.01, factor=1.0)
_CONTAINER = Pace(start_s=1.0, factor=1.5)
_KVM = Pace(start_s=1.5, factor=1.2)
_TCG = Pace(
    start_s=2.7,
    factor=4.0,
    # Emulation costs most where the host has an instruction for it (vectors, AES), and least elsewhere.
    factors={
        "cpu": 15.0,
        "cpu.integer": 6.5,
        "cpu.crypto": 25.0,
        "cpu.float": 33.0,
        "memory": 7.5,
        "network": 3.0,
        "disk": 4.0,
    },
    slow=True,
)

DAEMONS = ("engine", "image")
"""Families of which a visit is work of a daemon, not the start of an instance and a slice in it."""


def profile(name: str) -> Profile:
    """The profile of that name. Raises ProfileError naming the known ones."""
    try:
        return PROFILES[name]
    except KeyError:
        raise ProfileError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}") from None


def pace(arm: ArmPlan, prices: Prices | None = None) -> Pace:
    """The forecast for an arm, with what is known of this host."""
    usual = _usual(arm)
    if prices is None:
        return usual
    seconds = {name: arms[arm.name] for name, arms in prices.visits.items() if arm.name in arms}
    start_s = prices.starts.get(arm.name, usual.start_s)
    return msgspec.structs.replace(usual, start_s=start_s, seconds=seconds)


def _usual(arm: ArmPlan) -> Pace:
    if arm.kind == "vm":
        return _TCG if arm.emulated else _KVM
    return HOST if arm.kind == "host" else _PACES.get(arm.backend, _CONTAINER)


def visit_s(scenario: Scenario, pace: Pace) -> float:
    """Forecast seconds of one visit. A scenario that starts its own instance pays the arm's start as well."""
    if scenario.name in pace.seconds:
        return pace.seconds[scenario.name]
    if scenario.family in DAEMONS:
        return scenario.cost_s * pace.factors.get(scenario.family, pace.factor)
    if scenario.kind == "instance":
        return scenario.cost_s + pace.start_s
    by_family = pace.factors.get(scenario.family, pace.factor)
    return scenario.cost_s * pace.factors.get(scenario.name, by_family)
