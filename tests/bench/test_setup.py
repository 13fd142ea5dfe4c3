"""Which scenario runs where: what a system cannot do, and what is of another kind than the system."""

from pathlib import Path

import pytest

from bench.backends.base import EngineBackend, InstanceSpec
from bench.cli.setup import Stage, exclusions
from bench.plan import PlanError, arms_for, make_plan
from bench.profiles import profile
from bench.testing import FakeBackend, FakeScenario, fake_image

QUICK = profile("quick")


class Daemon(FakeBackend):
    """A fake with a daemon."""

    engine_only = True

    def engine(self):
        raise NotImplementedError


LIFE = FakeScenario("engine.life", "engine", kind="instance", spec=InstanceSpec(engine=True))
SLICE = FakeScenario("cpu.integer", "cpu")


def stage(*backends):
    arms = arms_for((backend.name, backend.name) for backend in backends)
    by_name = {backend.name: backend for backend in backends}
    return Stage(
        arms=arms,
        backends={arm.name: by_name[arm.backend] for arm in arms},
        infos=(),
        image=fake_image(),
        scratch=Path("/nonexistent"),
        depot=Path("/nonexistent"),
        missing=[],
    )


def test_a_daemon_is_told_from_other_backends():
    assert isinstance(Daemon("nnd"), EngineBackend)
    assert not isinstance(FakeBackend("host"), EngineBackend)


def test_what_is_of_another_kind_is_left_out_and_not_missing():
    excluded, missing = exclusions(stage(FakeBackend("host"), Daemon("nnd")), [LIFE, SLICE], (0,), QUICK)
    assert {("host", "engine.life"), ("host-b", "engine.life"), ("nnd", "cpu.integer")} <= excluded
    assert ("nnd", "engine.life") not in excluded
    assert missing == []


def test_a_daemon_that_makes_containers_of_its_own_kind_takes_part_in_all():
    docker = Daemon("docker")
    docker.engine_only = False
    excluded, _ = exclusions(stage(FakeBackend("host"), docker), [LIFE, SLICE], (0,), QUICK)
    assert not {pair for pair in excluded if pair[0] == "docker"}


def test_a_plan_visits_a_daemons_scenarios_without_the_host():
    here = stage(FakeBackend("host"), Daemon("nnd"))
    excluded, _ = exclusions(here, [LIFE, SLICE], (0,), QUICK)
    plan = make_plan(QUICK, 1, here.arms, [LIFE, SLICE], excluded=excluded)
    assert {step.arm for step in plan.steps if step.scenario == "engine.life"} == {"nnd"}
    assert "nnd" not in {step.arm for step in plan.steps if step.scenario == "cpu.integer"}


def test_without_a_daemon_its_scenarios_are_no_part_of_the_plan():
    here = stage(FakeBackend("host"), FakeBackend("runtime"))
    excluded, _ = exclusions(here, [LIFE, SLICE], (0,), QUICK)
    assert make_plan(QUICK, 1, here.arms, [LIFE, SLICE], excluded=excluded).scenarios == ("cpu.integer",)
    with pytest.raises(PlanError, match="no scenario is left"):
        make_plan(QUICK, 1, here.arms, [LIFE], excluded=excluded)
