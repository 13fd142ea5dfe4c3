"""Which scenario runs where: what a system cannot do, and what is of another kind than the system."""

from pathlib import Path

import pytest

from bench.backends.base import EngineBackend, InstanceSpec
from bench.cli.setup import Stage, exclusions
from bench.plan import PlanError, make_plan
from bench.profiles import profile
from bench.scenarios.registry import SCENARIOS
from bench.testing import FakeBackend, FakeScenario, fake_arms, fake_image

QUICK = profile("quick")


class Daemon(FakeBackend):
    """A fake with a daemon."""

    def engine(self):
        raise NotImplementedError


LIFE = FakeScenario("engine.life", "engine", kind="instance", spec=InstanceSpec(engine=True))
SLICE = FakeScenario("cpu.integer", "cpu")
START = FakeScenario("startup.first_instruction", "startup", kind="instance")


def stage(*backends):
    arms = fake_arms(**{backend.name: backend.name for backend in backends if backend.name != "host"})
    by_name = {backend.name: backend for backend in backends}
    return Stage(
        arms=arms,
        backends={arm.name: by_name[arm.backend] for arm in arms},
        infos=(),
        image=fake_image(),
        scratch=Path("/nonexistent"),
        registries=Path("/nonexistent"),
        missing=[],
    )


def test_a_daemon_is_distinguished_from_other_backends():
    assert isinstance(Daemon("nnd"), EngineBackend)
    assert not isinstance(FakeBackend("host"), EngineBackend)


def test_what_is_of_another_kind_is_left_out_and_not_missing():
    excluded, missing = exclusions(stage(FakeBackend("host"), Daemon("nnd")), [LIFE, START], (0,), QUICK)
    assert {("host", "engine.life"), ("host-b", "engine.life")} <= excluded
    assert not {pair for pair in excluded if pair[0] == "nnd"}
    assert missing == []


@pytest.mark.parametrize("name", ["smoke", "full"])
def test_our_daemon_takes_part_in_all(name):
    here = stage(FakeBackend("host"), Daemon("nnd"))
    excluded, missing = exclusions(here, [LIFE, SLICE, START], (0,), profile(name))
    assert not {pair for pair in excluded if pair[0] == "nnd"}
    assert missing == []


def test_a_quick_run_says_what_it_has_no_time_for():
    here = stage(FakeBackend("host"), FakeBackend("runtime"), Daemon("nnd"))
    excluded, missing = exclusions(here, [SLICE, START], (0,), QUICK)
    assert excluded == {("nnd", "cpu.integer")}
    assert [(one.arm, one.metric) for one in missing] == [("nnd", "cpu.integer")]
    assert missing[0].reason == (
        "no time: left out of the quick profile for nnd; run --backends nnd or --profile full"
    )


def test_a_quick_run_starts_what_ships_and_measures_its_network_and_checks():
    real = {s.name: s.family for s in SCENARIOS}
    excluded, _ = exclusions(stage(FakeBackend("host"), Daemon("nnd")), SCENARIOS, (0,), QUICK)
    taken = {family for name, family in real.items() if ("nnd", name) not in excluded}
    assert taken == {"startup", "network", "engine", "image", "check"}


def test_a_plan_visits_a_daemons_scenarios_without_the_host():
    here = stage(FakeBackend("host"), Daemon("nnd"))
    excluded, _ = exclusions(here, [LIFE, SLICE], (0,), QUICK)
    plan = make_plan(QUICK, 1, here.arms, [LIFE, SLICE], excluded=excluded)
    assert {step.arm for step in plan.steps if step.scenario == "engine.life"} == {"nnd"}


def test_without_a_daemon_its_scenarios_are_no_part_of_the_plan():
    here = stage(FakeBackend("host"), FakeBackend("runtime"))
    excluded, _ = exclusions(here, [LIFE, SLICE], (0,), QUICK)
    assert make_plan(QUICK, 1, here.arms, [LIFE, SLICE], excluded=excluded).scenarios == ("cpu.integer",)
    with pytest.raises(PlanError, match=r"\bscenario\b"):
        make_plan(QUICK, 1, here.arms, [LIFE], excluded=excluded)
