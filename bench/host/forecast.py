"""Forecast the minutes of measuring that a verdict on 1 % takes on this host, from its noise.

Runs are simulated: an arm that truly loses between nothing and half of the margin, session medians as noisy
as in the self-test, the plan's looks, and each session as long as its undecided slices. So the forecast
models a whole run: all metrics must be decided, and the noisiest one determines the time. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.claims import ALPHA, MARGIN
from bench.host.selftest import FAMILIES
from bench.host.spread import Noise, Spread
from bench.measure.time_budget import CORE_LIMIT
from bench.model import Looks, Plan
from bench.plan import forecast as costs
from bench.plan import paces_of
from bench.profiles import Profile, visit_s
from bench.scenarios.base import Scenario
from bench.stats.power import session_sd, sessions_needed
from bench.stats.sequential import level

LOSS = 0.5
"""The most that a simulated arm loses, as a share of the margin. No loss would be the best case, not the
usual one: an arm that loses 0.3 % needs twice the sessions of one that loses nothing."""

RUNS = 2000
"""Simulated runs: enough to know the median number of sessions to one session."""

TYPICAL, NEARLY_ALL = 0.5, 0.9
"""Shares of runs that are decided by the two reported times."""

Floats = NDArray[np.float64]


class MetricForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one arm. sessions, minutes: half of the runs have its verdict by then; *_most: 9 of 10.

    session_sd: of a session's median log-ratio. from_metric: whose noise was used. None stands for infinite.
    """

    metric: str
    from_metric: str
    session_sd: float
    sessions: float | None
    sessions_most: float | None
    minutes: float | None
    minutes_most: float | None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """All primary metrics of the families; minutes: until every one is decided, in half and in 9 of 10 runs.

    share: of simulated runs that decide all of them within the profile's sessions and budget.
    """

    profile: str
    arms: tuple[str, ...]
    families: tuple[str, ...]
    margin: float
    alpha: float
    budget_minutes: float
    minutes: float | None
    minutes_most: float | None
    share: float
    metrics: tuple[MetricForecast, ...]

    @property
    def fits(self) -> bool:
        """Whether most runs of this profile decide all of them."""
        return self.share >= TYPICAL


class SessionCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one session: by scenario, and the overhead that does not depend on them.

    fit: the share of the planned visits that fit into the budget at the pace of this host.
    """

    scenarios: dict[str, float]
    overhead: float
    fit: float


def forecast(
    noise: Noise, plan: Plan, scenarios: Mapping[str, Scenario], profile: Profile, arm: str
) -> Forecast:
    """Forecast the minutes by metric for `arm` in this plan. Metrics without known noise are left out."""
    cost = session_costs(plan, scenarios, profile, noise.slices)
    rng = np.random.default_rng(plan.seed)
    names = [name for name in plan.scenarios if _asks_for_one_percent(scenarios[name])]
    stops: dict[str, Floats] = {}
    found: list[tuple[str, str, Spread, float]] = []
    for name in names:
        planned = sum(1 for s in plan.steps if (s.scenario, s.arm, s.session) == (name, arm, 0))
        pairs = max(1, round(planned * cost.fit)) if planned else 0
        own = plan.in_core.get((name, arm), plan.core)
        looks = Looks(first=own, last=plan.sessions - plan.core + own)
        for metric in (one for one in scenarios[name].metrics if one.role == "primary"):
            known = noise_of(metric.name, scenarios[name].family, noise.spreads)
            if known is not None and pairs:
                sd = session_sd(known.between, known.within, pairs) * _of_copies(plan, arm)
                found.append((name, metric.name, known, sd))
                stop = stopping(sd, looks, rng) + (plan.core - own)
                stops[name] = np.maximum(stops[name], stop) if name in stops else stop
                stops[metric.name] = stop
    looks = Looks(first=plan.core, last=plan.sessions)
    timeline = Timeline(cost, {name: stops[name] for name in names if name in stops}, looks)
    metrics = tuple(
        _metric(metric, known, sd, stops[metric], timeline, name) for name, metric, known, sd in found
    )
    last = np.max([stops[metric.metric] for metric in metrics], axis=0) if metrics else np.array([np.inf])
    seconds = timeline.seconds(last)
    whole = [metric for metric in metrics if metric.minutes is None]
    return Forecast(
        profile=plan.profile,
        arms=tuple(one.name for one in plan.arms),
        families=tuple(dict.fromkeys(scenarios[name].family for name in names)),
        margin=MARGIN,
        alpha=ALPHA,
        budget_minutes=round(plan.budget_s / 60, 2),
        minutes=None if whole else _beyond(seconds, TYPICAL, [m.minutes for m in metrics]),
        minutes_most=_beyond(seconds, NEARLY_ALL, [m.minutes_most for m in metrics]),
        share=round(float(np.mean(seconds <= plan.budget_s)), 3),
        metrics=metrics,
    )


def _of_copies(plan: Plan, arm: str) -> float:
    """What second copies leave of a single pair's standard deviation (bench.judging.pairs.pooled_series)."""
    counted = len({arm, plan.baseline} & set(plan.counted.values()))
    return math.sqrt((1.0, 3 / 4, 1 / 2)[counted])


def _asks_for_one_percent(scenario: Scenario) -> bool:
    """Whether its claims are on 1 %: those on whole instances have other margins."""
    return scenario.family in FAMILIES and scenario.kind == "slice"


def session_costs(
    plan: Plan, scenarios: Mapping[str, Scenario], profile: Profile, slices: Mapping[str, float]
) -> SessionCosts:
    """Return the seconds of a session of the plan's core, on average: known prices, and slices as long as
    measured here (`slices`, seconds)."""
    usual = [slices[name] / scenarios[name].cost_s for name in slices if name in scenarios]
    slower = float(np.median(usual)) if usual else 1.0
    visits: dict[str, float] = {}
    planned = 0.0
    paces = paces_of(plan)
    for step in plan.steps:
        if step.session < plan.core:
            name, cost_s = step.scenario, scenarios[step.scenario].cost_s
            seconds = visit_s(scenarios[name], paces[step.arm]) / plan.core
            planned += seconds
            if name not in paces[step.arm].seconds:
                seconds *= slices.get(name, slower * cost_s) / cost_s
            visits[name] = visits.get(name, 0.0) + seconds
    core = (seconds for session, _, seconds in costs(plan, scenarios, profile) if session < plan.core)
    overhead = max(0.0, sum(core) / plan.core - planned)
    room = (CORE_LIMIT if plan.looks else 1.0) * plan.budget_s / plan.core - overhead
    fit = min(1.0, max(0.0, room) / max(sum(visits.values()), 1e-9))
    return SessionCosts(
        scenarios={name: seconds * fit for name, seconds in visits.items()}, overhead=overhead, fit=fit
    )


def noise_of(metric: str, family: str, spreads: Sequence[Spread]) -> Spread | None:
    """Return the noise to use for a metric: its own, that of another network mode (`….host` for `….bridge`),
    else the noisiest of its family; None if the family was not tested."""
    own = {one.metric: one for one in spreads}
    if metric in own:
        return own[metric]
    stem = metric.rpartition(".")[0]
    kin = [one for one in spreads if one.metric.rpartition(".")[0] == stem and stem.count(".") > 0]
    others = kin or [one for one in spreads if one.metric.partition(".")[0] == family]
    return max(others, key=lambda one: math.hypot(one.between, one.within), default=None)


def stopping(sd: float, looks: Looks, rng: np.random.Generator, runs: int = RUNS) -> Floats:
    """Return after how many sessions each simulated run has its verdict, shape (runs,); inf: never."""
    last = looks.last
    truth = rng.uniform(LOSS * math.log(MARGIN), 0.0, (runs, 1))
    medians = truth + rng.normal(0.0, max(sd, 1e-9), (runs, last))
    counts = np.arange(1, last + 1)
    means = np.cumsum(medians, axis=1) / counts
    squares = np.cumsum(medians**2, axis=1)
    stopped = np.full(runs, np.inf)
    for look in range(max(looks.first, 2), last + 1):
        spent = level(ALPHA, look, looks.first, last, final=look == last)
        variance = (squares[:, look - 1] - look * means[:, look - 1] ** 2) / (look - 1)
        reach = special.stdtrit(look - 1, 1 - spent) * np.sqrt(np.maximum(variance, 0.0) / look)
        distance = means[:, look - 1] - math.log(MARGIN)
        decided = np.abs(distance) > reach
        stopped = np.where(np.isinf(stopped) & decided, float(look), stopped)
    return stopped


class Timeline:
    """When each session of a simulated run ends, given the session after which each scenario is left out."""

    def __init__(self, cost: SessionCosts, stops: Mapping[str, Floats], looks: Looks) -> None:
        self.cost = cost
        self.looks = looks
        spent = np.zeros((RUNS, looks.last + 1))
        numbers = np.arange(1, looks.last + 1)
        # Scenarios that decide no claim are measured up to the first look only.
        first = np.full(RUNS, float(looks.first))
        for name, seconds in cost.scenarios.items():
            present = numbers[None, :] <= stops.get(name, first)[:, None]
            spent[:, 1:] += seconds * present
        spent[:, 1:] += cost.overhead
        self._end = np.cumsum(spent, axis=1)

    def seconds(self, sessions: Floats) -> Floats:
        """Return the seconds until session `sessions` of each run ends; inf stays inf."""
        finite = np.isfinite(sessions)
        index = np.where(finite, sessions, 0).astype(np.int64)
        ends = self._end[np.arange(len(sessions)) % RUNS, index]
        return np.where(finite, ends, np.inf)

    def longer(self, scenario: str, sessions: float) -> float:
        """Return the seconds of a run that continues after the last look, for one scenario only."""
        planned = float(np.median(self._end[:, self.looks.last]))
        each = self.cost.overhead + self.cost.scenarios.get(scenario, 0.0)
        return planned + max(0.0, sessions - self.looks.last) * each


def _metric(
    metric: str, known: Spread, sd: float, stop: Floats, timeline: Timeline, scenario: str
) -> MetricForecast:
    sessions: list[float] = []
    minutes: list[float] = []
    for share in (TYPICAL, NEARLY_ALL):
        number = float(np.quantile(stop, share, method="higher"))
        if math.isfinite(number):
            seconds = float(np.quantile(timeline.seconds(stop), share, method="higher"))
        else:  # more than the plan has: a run of as many sessions as it takes, looked at once
            middle = LOSS / 2 * math.log(MARGIN)
            number = sessions_needed(middle, sd, math.log(MARGIN), ALPHA, timeline.looks.last, power=share)
            seconds = timeline.longer(scenario, number)
        sessions.append(number)
        minutes.append(seconds / 60)
    return MetricForecast(
        metric=metric,
        from_metric=known.metric,
        session_sd=round(sd, 5),
        sessions=_finite(sessions[0], 0),
        sessions_most=_finite(sessions[1], 0),
        minutes=_finite(minutes[0], 2),
        minutes_most=_finite(minutes[1], 2),
    )


def _beyond(seconds: Floats, share: float, by_metric: Sequence[float | None]) -> float | None:
    """Return the time until all are decided; if that is after the plan's end, the slowest metric's time."""
    found = float(np.quantile(seconds, share, method="higher"))
    if math.isfinite(found):
        return round(found / 60, 2)
    known = [one for one in by_metric if one is not None]
    return max(known) if known and len(known) == len(by_metric) else None


def _finite(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
