"""What a run will do, how long it takes, and what it will probably not tell: said before it measures."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.backends.base import Backend, BenchImage
from bench.cli import names, prices, setup
from bench.cli.dependencies import Dependencies
from bench.cli.progress import AFTERWARDS_S
from bench.host import selftest
from bench.host.check import Check
from bench.host.forecast import Forecast, forecast
from bench.host.preflight import host_checks
from bench.host.spread import Noise
from bench.judging.rows import count
from bench.model import NotMeasured, Plan, Prices
from bench.plan import forecast as forecast_of_plan
from bench.plan import guarded, least_sessions, make_plan
from bench.profiles import Profile
from bench.scenarios.base import Scenario, error_text
from bench.scenarios.check import FAMILY as CHECKS


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asked for: the profile, backends by name (the host first), scenarios, CPUs, the seed,
    to go on until all is decided the budget that the core is for, and the plan to make again."""

    profile: Profile
    backends: list[str]
    scenarios: list[Scenario]
    cpus: tuple[int, ...]
    seed: int
    first_budget_s: float | None = None
    like: Plan | None = None

    def planned(self, crew: setup.Crew, known: Prices | None) -> tuple[Plan, list[NotMeasured]]:
        """The plan, by the prices known of this host, and what it leaves out."""
        excluded, missing = setup.exclusions(crew, self.scenarios, self.cpus, self.profile)
        plan = make_plan(
            self.profile,
            self.seed,
            crew.arms,
            self.scenarios,
            cpus=self.cpus,
            excluded=excluded,
            prices=self.like.prices if self.like else known,
        )
        until = self.first_budget_s
        return msgspec.structs.replace(plan, until_decided=until is not None, first_budget_s=until), missing

    def unlike(self, plan: Plan) -> tuple[str, ...]:
        """The warning of a plan that is not the one to make again."""
        if self.like is None or plan.steps == self.like.steps:
            return ()
        return ("this is not the plan of --like: the systems here, what they can run, or the version differ",)


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What `run --dry-run` prints: the run as it would be, and what speaks against it.

    seconds: of measuring, at most. least_s: what it takes at least, whatever the budget. warnings: what to
    heed.
    """

    profile: str
    backends: tuple[str, ...]
    families: tuple[str, ...]
    cpus: tuple[int, ...]
    seed: int
    sessions: int
    first_look: int
    seconds: float
    least_s: float
    afterwards_s: float
    not_measured: tuple[NotMeasured, ...]
    warnings: tuple[str, ...]


def preview(deps: Dependencies, chosen: Chosen, cache: Path) -> Preview:
    """Probe the backends and plan the run. Nothing is swept, built, prepared or measured."""
    made = {name: make(cache / "backends") for name, make in deps.backends.items()}
    infos, missing = setup.probe({name: made[name] for name in chosen.backends}, lambda text: None)
    plan, gaps = chosen.planned(setup.crew(made, infos), prices.known(deps, cache))
    scenarios = {one.name: one for one in chosen.scenarios}
    return Preview(
        profile=plan.profile,
        backends=tuple(infos),
        families=tuple(
            dict.fromkeys(
                scenarios[name].family for name in plan.scenarios if scenarios[name].family != CHECKS
            )
        ),
        cpus=plan.cpus,
        seed=plan.seed,
        sessions=plan.sessions,
        first_look=plan.core if plan.looks else 0,
        seconds=plan.budget_s,
        least_s=round(least_seconds(plan, scenarios, chosen.profile), 1),
        afterwards_s=AFTERWARDS_S,
        not_measured=(*missing, *gaps),
        warnings=(
            *map(sentence, disturbing(cache, chosen.cpus)),
            *short(plan, scenarios, chosen.profile),
            *chosen.unlike(plan),
        ),
    )


def least_seconds(plan: Plan, scenarios: Mapping[str, Scenario], profile: Profile) -> float:
    """About how long a run measures whatever its budget: one visit a session of all that decides a claim."""
    always = guarded(plan, scenarios)
    kept = msgspec.structs.replace(plan, steps=tuple(step for step in plan.steps if step.order in always))
    return sum(seconds for _, _, seconds in forecast_of_plan(kept, scenarios, profile))


def short(plan: Plan, scenarios: Mapping[str, Scenario], profile: Profile) -> tuple[str, ...]:
    """The warning of a budget that cannot be kept."""
    least = least_seconds(plan, scenarios, profile)
    if least <= plan.budget_s:
        return ()
    sessions = min(plan.sessions, least_sessions(plan))
    return (
        f"the budget of {plan.budget_s:.0f} s cannot be kept: all that decides a claim takes about "
        f"{least:.0f} s in {count(sessions, 'session')}; choose fewer --families or --backends",
    )


def disturbing(cache: Path, cpus: Sequence[int]) -> list[Check]:
    """What may spoil a measurement on this host now."""
    return [check for check in host_checks(cache, cpus=cpus) if check.state in ("warn", "bad")]


def sentence(check: Check) -> str:
    """A check's finding as a note of the run."""
    return f"preflight: {check.name}: {check.found} ({check.effect})"


def noise(
    deps: Dependencies,
    host: Backend,
    image: BenchImage,
    cpus: tuple[int, ...],
    seconds: float,
    tell: selftest.Tell,
    families: Sequence[str] = selftest.FAMILIES,
) -> Noise:
    """Measure host against host. host: prepared. Raises BackendError where its instances do not start."""
    offered = [one for one in selftest.chosen(deps.scenarios) if one.family in families]
    with _wire(deps if "network" in families else None, image, cpus) as (wire, trouble):
        found = selftest.run(host, offered, cpus, wire=wire, seconds=seconds, tell=tell)
    return msgspec.structs.replace(found, trouble=(*trouble, *found.trouble))


@contextlib.contextmanager
def _wire(
    deps: Dependencies | None, image: BenchImage, cpus: tuple[int, ...]
) -> Iterator[tuple[object | None, list[str]]]:
    """Yield the wire to the peer (None if it cannot be opened) and the reasons."""
    with contextlib.ExitStack() as stack:
        trouble: list[str] = []
        wire: object | None = None
        try:
            wire = stack.enter_context(deps.wire(image.rootfs, cpus)) if deps and deps.wire else None
        except Exception as error:  # whatever it is, CPU and memory can still be tested
            trouble.append(f"network not tested: {error_text(error)}")
        yield wire, trouble


QUIET_FAMILIES = ("cpu", "memory")
"""What the short test before a run covers: a wire would take as long again."""


def outlook(
    deps: Dependencies, stage: setup.Stage, plan: Plan, chosen: Profile, say: setup.Say
) -> tuple[str, ...]:
    """What this host is too noisy to tell in this run, from a short test of host against host.

    Empty where all can be told, and where there is nothing to test.
    """
    offered = {one.name: one for one in deps.scenarios if one.name in plan.scenarios}
    asked = tuple(
        family for family in QUIET_FAMILIES if any(one.family == family for one in offered.values())
    )
    systems = [name for name in plan.systems if not plan.arm[name].emulated]
    if not (deps.self_test_s and plan.looks and asked and systems):
        return ()
    say(f"noise: host against host for about {deps.self_test_s:.0f} s")
    try:
        found = noise(
            deps,
            stage.backends[plan.baseline],
            stage.image,
            plan.cpus,
            deps.self_test_s,
            lambda share, words: None,
            asked,
        )
        ahead = forecast(found, plan, offered, chosen, systems[0])
    except Exception as error:  # a forecast is worth less than the run
        return (f"noise: not known, as the test of it failed: {error_text(error)}",)
    return too_noisy(ahead)


def too_noisy(ahead: Forecast) -> tuple[str, ...]:
    """The metrics whose 1 % verdict half of such runs do not reach, with how long it would take."""
    late = [one for one in ahead.metrics if one.minutes is None or one.minutes > ahead.budget_minutes]
    if not late:
        return ()
    listed = ", ".join(
        f"{one.metric} ({'out of reach' if one.minutes is None else f'about {one.minutes:.0f} min'})"
        for one in late
    )
    budget = f"{ahead.budget_minutes:.1f}".removesuffix(".0")
    texts = [f"too noisy now to tell 1 % in {budget} min: {listed}"]
    known = [one.minutes for one in late if one.minutes is not None]
    if known and len(known) == len(late) and max(known) < names.MOST_BUDGET_S / 60:
        most = math.ceil(max(known))
        longer = "" if most <= names.UNTIL_MIN else f" --at-most {most}m"
        texts.append(f"--until-decided{longer} would probably do")
    return ("; ".join(texts),)
