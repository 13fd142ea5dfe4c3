"""The self-test runs as a run does; the forecast grows with noise and with what a session costs."""

from __future__ import annotations

import itertools
import json
import math
import random
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app, doctor, execute, prices
from bench.cli.dependencies import Dependencies, current, use
from bench.host import rough, selftest
from bench.host.check import Check
from bench.host.fingerprint import machine_id
from bench.host.forecast import (
    RUNS,
    SessionCosts,
    Timeline,
    forecast,
    noise_of,
    session_costs,
    stopping,
)
from bench.host.spread import Noise, Pairs, Spread, spreads
from bench.measure import Observer
from bench.model import Looks, Prices
from bench.plan import make_plan
from bench.profiles import PROFILES
from bench.scenarios.base import Reading, ScenarioError
from bench.scenarios.registry import SCENARIOS
from bench.stats.power import session_sd
from bench.testing import FakeBackend, FakeScenario, fake_arms, fake_backends, fake_image, fake_scenarios

LOOKS = Looks(first=5, last=12)


class Noisy(FakeScenario):
    """A workload whose value differs from slice to slice by a few per cent."""

    def __init__(self, name: str, family: str, sd: float, fails: bool = False) -> None:
        super().__init__(name, family)
        self.sd = sd
        self.fails = fails
        self.rng = random.Random(name)

    def run(self, context):
        if self.fails:
            raise ScenarioError(f"{self.name} is broken")
        value = 100.0 * math.exp(self.rng.gauss(0.0, self.sd))
        return [Reading(metric=self.metrics[0].name, value=value, start_ns=0, duration_ns=1)]


def test(scenarios, seconds=1000.0, events=None):
    """A self-test by a clock that moves a second each time it is asked."""
    ticks = itertools.count()
    backend = FakeBackend("host", events=events)
    backend.prepare(fake_image())
    return selftest.run(backend, scenarios, (0, 1), seconds=seconds, clock=lambda: float(next(ticks)))


test.__test__ = False


def test_each_session_has_fresh_instances_of_both_arms():
    events = []
    found = test([Noisy("cpu.one", "cpu", 0.01)], events=events)
    sessions = found.spreads[0].sessions
    starts = [event for event in events if event[0] == "start"]
    assert len(starts) == 2 * sessions
    assert len([event for event in events if event[0] == "stop"]) == len(starts)
    assert selftest.LEAST_SESSIONS <= sessions <= selftest.MAX_SESSIONS
    assert found.spreads[0].pairs > sessions


def test_noise_is_found_and_distinguished_from_quiet():
    found = {
        one.metric: one
        for one in test([Noisy("cpu.loud", "cpu", 0.05), Noisy("cpu.calm", "cpu", 0.001)]).spreads
    }
    assert found["cpu.loud"].within > 10 * found["cpu.calm"].within


def test_a_slice_that_fails_is_reported_and_the_others_go_on():
    found = test([Noisy("cpu.good", "cpu", 0.01), Noisy("cpu.bad", "cpu", 0.01, fails=True)])
    assert found.trouble == ("cpu.bad: cpu.bad is broken",)
    assert [one.metric for one in found.spreads] == ["cpu.good"]


def test_when_all_fail_it_ends():
    found = test([Noisy("cpu.bad", "cpu", 0.01, fails=True)])
    assert found.spreads == ()


def test_without_a_wire_there_is_no_network():
    found = test([Noisy("network.x", "network", 0.01), Noisy("cpu.one", "cpu", 0.01)])
    assert [one.metric for one in found.spreads] == ["cpu.one"]


def test_it_takes_the_primary_slices_and_one_way_through_the_network():
    names = {scenario.name for scenario in selftest.chosen(SCENARIOS)}
    assert {"cpu.integer", "memory.bandwidth", "network.throughput.host"} <= names
    assert not names & {"cpu.syscall", "network.throughput.nat", "startup.first_byte", "memory.per_instance"}


@given(st.floats(1.0, 600.0), st.floats(0.0, 100.0))
def test_the_number_of_sessions_stays_in_its_bounds(seconds, first):
    assert selftest.LEAST_SESSIONS <= selftest.sessions_for(seconds, first) <= selftest.MAX_SESSIONS


def test_a_machine_too_slow_for_the_time_still_has_its_least_sessions():
    found = test([Noisy("cpu.one", "cpu", 0.01)], seconds=0.5)
    assert (found.spreads[0].sessions, found.spreads[0].pairs) == (3, 3)


def test_the_rough_test_measures_each_family(monkeypatch):
    monkeypatch.setattr(rough, "ITERATIONS", 10)
    monkeypatch.setattr(rough, "COPIED", 1 << 12)
    monkeypatch.setattr(rough, "SENT", rough.CHUNK)
    found = rough.run(seconds=0.01)
    assert found.kind == "rough"
    assert {one.metric.partition(".")[0] for one in found.spreads} == set(selftest.FAMILIES)


def test_values_that_form_no_ratio_form_no_pair():
    pairs = Pairs()
    for session in range(4):
        pairs.add(session, {"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert [one.metric for one in pairs.spreads(["a", "b", "c"])] == ["b"]


def test_the_parts_of_the_noise_are_told_apart():
    rng = np.random.default_rng(3)
    sessions = [list(rng.normal(rng.normal(0, 0.03), 0.01, 20)) for _ in range(200)]
    (found,) = spreads({"x": sessions})
    assert found.between == pytest.approx(0.03, rel=0.2)
    assert found.within == pytest.approx(0.01, rel=0.2)


def test_one_wild_pair_is_not_taken_for_the_host():
    quiet = [[0.01, -0.01], [-0.01, 0.01], [0.01, 0.01], [-0.01, -0.01]]
    wild = [[0.01, -0.01], [-0.01, 5.0], [0.01, 0.01], [-0.01, -0.01]]
    usual, odd = spreads({"quiet": quiet, "wild": wild})
    assert odd.within < 3 * usual.within


def test_a_self_tests_few_pairs_mostly_know_the_noise_of_a_session():
    """Seven metrics, four sessions of two pairs: the standard deviation is known to a factor of 1.5."""
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(100):
        pairs = {
            str(metric): [list(rng.normal(rng.normal(0, 0.2), 0.8, 2)) for _ in range(4)]
            for metric in range(7)
        }
        truth = session_sd(0.2, 0.8, 6)
        errors += [session_sd(one.between, one.within, 6) / truth for one in spreads(pairs)]
    ratios = np.array(errors)
    assert np.mean((ratios < 1.5) & (ratios > 1 / 1.5)) > 0.7
    assert 0.8 < np.median(ratios) < 1.2


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=2), st.lists(st.lists(st.floats(-1, 1), min_size=1), min_size=1)
    )
)
def test_any_pairs_give_finite_noise(found):
    for one in spreads(found):
        assert math.isfinite(one.within)
        assert math.isfinite(one.between)


def median_stop(sd: float) -> float:
    return float(np.quantile(stopping(sd, LOOKS, np.random.default_rng(1)), 0.5, method="higher"))


def test_a_quiet_host_decides_at_the_first_look_and_a_loud_one_not_in_the_plan():
    assert median_stop(0.0005) == LOOKS.first
    assert median_stop(0.2) == math.inf


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 0.1), st.floats(1.2, 3.0))
def test_more_noise_never_takes_fewer_sessions(sd, times):
    assert median_stop(sd * times) >= median_stop(sd)


def test_a_session_gets_shorter_by_what_is_decided():
    cost = SessionCosts(scenarios={"early": 10.0, "late": 1.0, "explains": 5.0}, overhead=2.0, fit=1.0)
    stops = {"early": np.full(RUNS, 5.0), "late": np.full(RUNS, 8.0)}
    timeline = Timeline(cost, stops, LOOKS)
    assert timeline.seconds(np.full(RUNS, 5.0))[0] == 5 * 18.0
    assert timeline.seconds(np.full(RUNS, 8.0))[0] == 5 * 18.0 + 3 * 3.0
    assert timeline.seconds(np.full(RUNS, math.inf))[0] == math.inf
    assert timeline.longer("late", 20) > timeline.longer("late", 12)


@pytest.mark.parametrize(
    ("metric", "family", "expected"),
    [
        ("cpu.float", "cpu", "cpu.float"),
        ("network.cpu_per_gib.nat", "network", "network.cpu_per_gib.host"),
        ("cpu.new", "cpu", "cpu.crypto"),
        ("disk.new", "disk", None),
    ],
)
def test_whose_noise_speaks_for_a_metric(metric, family, expected):
    known = [
        Spread(metric=name, sessions=4, pairs=8, between=0.0, within=within)
        for name, within in (
            ("cpu.float", 0.01),
            ("cpu.crypto", 0.02),
            ("network.cpu_per_gib.host", 0.05),
            ("network.throughput.host", 0.001),
        )
    ]
    found = noise_of(metric, family, known)
    assert (found.metric if found else None) == expected


OFFERED = [one for one in SCENARIOS if one.family in selftest.FAMILIES]
BY_NAME = {one.name: one for one in OFFERED}
PLAN = make_plan(PROFILES["quick"], 0, fake_arms(runtime="runtime"), OFFERED, cpus=(0, 1))


def whole(within: float, slices: dict[str, float] | None = None):
    spreads = tuple(
        Spread(metric=metric.name, sessions=4, pairs=8, between=within / 4, within=within)
        for scenario in selftest.chosen(SCENARIOS)
        for metric in scenario.metrics
        if metric.role == "primary"
    )
    noise = Noise(kind="image", seconds=20.0, spreads=spreads, slices=slices or {})
    return forecast(noise, PLAN, BY_NAME, PROFILES["quick"], "runtime")


def test_every_primary_metric_of_the_families_is_forecast():
    found = whole(0.005)
    wanted = {
        metric.name
        for scenario in OFFERED
        for metric in scenario.metrics
        if metric.role == "primary" and scenario.kind == "slice"
    }
    assert {one.metric for one in found.metrics} == wanted


def test_a_quiet_host_fits_and_a_loud_one_does_not():
    quiet, loud = whole(0.002), whole(0.2)
    assert quiet.fits
    assert quiet.minutes is not None
    assert quiet.minutes <= quiet.budget_minutes
    assert not loud.fits
    assert loud.minutes is None or loud.minutes > loud.budget_minutes


def test_nine_of_ten_runs_take_no_less_than_half_of_them():
    for within in (0.002, 0.01, 0.03):
        for one in whole(within).metrics:
            if one.minutes is not None and one.minutes_most is not None:
                assert one.minutes_most >= one.minutes


def test_a_machine_slower_than_the_plan_gets_fewer_visits_and_no_more_time():
    usual = session_costs(PLAN, BY_NAME, PROFILES["quick"], {})
    slow = session_costs(
        PLAN, BY_NAME, PROFILES["quick"], {name: 5 * BY_NAME[name].cost_s for name in BY_NAME}
    )
    assert usual.fit == 1.0
    assert slow.fit < 1.0
    first = PLAN.looks.first
    assert first * (slow.overhead + sum(slow.scenarios.values())) <= PLAN.budget_s


def test_known_prices_are_what_a_session_costs():
    visits = {"cpu.integer": {arm.name: 2.0 for arm in PLAN.arms}}
    known = Prices(run="r", visits=visits, starts={})
    plan = make_plan(PROFILES["quick"], 0, PLAN.arms, OFFERED, prices=known)
    number = sum(step.session == 0 and step.scenario == "cpu.integer" for step in plan.steps)
    found = session_costs(plan, BY_NAME, PROFILES["quick"], {"cpu.integer": 0.1})
    assert found.scenarios["cpu.integer"] == pytest.approx(found.fit * 2.0 * number)


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    use(Dependencies.fake(fake_backends(), fake_scenarios(), fake_image()))
    yield
    use(None)


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.slow
def test_doctor_measures_and_forecasts(fakes):
    result = invoke("doctor", "--seconds", "1", "--json")
    found = json.loads(result.stdout)
    assert found["noise"]["kind"] == "image"
    assert found["noise"]["spreads"]
    assert found["forecast"]["profile"] == "quick"
    assert result.exit_code in (0, 4)
    assert (result.exit_code == 4) == (found["forecast"]["share"] < 0.5)


def test_quick_looks_only(fakes):
    found = json.loads(invoke("doctor", "--quick", "--json").stdout)
    assert (found["noise"], found["forecast"]) == (None, None)
    assert found["cpus"]


def check(name: str, state: str) -> Check:
    return Check(name=name, state=state, found=f"found {name}", effect="cpu: slower", fix="end it")


CHECKS = [
    check("root", "ok"),
    check("other work", "warn"),
    check("governor", "unknown"),
    check("kvm", "warn"),
]


def test_the_answer_comes_first_and_what_is_fine_only_if_asked(fakes, monkeypatch):
    monkeypatch.setattr(doctor, "all_checks", lambda *args: CHECKS)
    lines = invoke("doctor", "--quick").stdout.splitlines()
    assert lines[0] == "Can measure: yes. Noise: not tested (--quick). 2 warnings."
    assert lines[-1] == "2 checks more: fine, or not to be seen here (doctor --all)"
    assert "found governor" not in "\n".join(lines)
    shown = invoke("doctor", "--quick", "--all").stdout
    assert all(f"found {one.name}" in shown for one in CHECKS)
    assert "doctor --all" not in shown


def test_what_prevents_measuring_comes_before_what_is_to_be_heeded(fakes, monkeypatch):
    monkeypatch.setattr(doctor, "all_checks", lambda *args: [*CHECKS, check("backend host", "bad")])
    lines = invoke("doctor", "--quick").stdout.splitlines()
    assert lines[0].startswith("Can measure: no (backend host).")
    assert [word for line in lines for word in line.split()[:1] if word in ("bad", "warn")] == [
        "bad", "warn", "warn",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("within", "said"),
    [
        (50.0, "A verdict on 1 %: out of reach on a host as noisy as it is now."),
        (0.001, r"in about \d+ min of"),
    ],
)
def test_the_answer_has_the_time_to_a_verdict(fakes, monkeypatch, within, said):
    monkeypatch.setattr(doctor, "self_test", lambda *args, **kwargs: whole_noise(within))
    monkeypatch.setattr(doctor, "all_checks", lambda *args: [check("root", "bad"), check("kvm", "bad")])
    first = invoke("doctor").stdout.splitlines()[0]
    assert first.startswith("Can measure: no (root, kvm). ")
    assert re.search(said, first)
    assert first.endswith(" No warnings.")


def test_the_doctor_goes_by_the_prices_of_the_last_run(fakes, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "self_test", lambda *args, **kwargs: whole_noise(0.004))
    monkeypatch.setattr(doctor, "all_checks", lambda *args: [])
    use(msgspec.structs.replace(current(), remembers=True))

    def minutes():
        return json.loads(invoke("doctor", "--json").stdout)["forecast"]["minutes"]

    usual = minutes()
    visits = {"cpu.integer": {"host": 5.0, "runtime": 5.0}}
    prices.keep(tmp_path / "cache", machine_id(), Prices(run="r", visits=visits, starts={}))
    assert minutes() > 2 * usual


def test_a_host_too_noisy_for_a_quick_run_has_a_status_of_its_own(fakes, monkeypatch):
    monkeypatch.setattr(doctor, "self_test", lambda *args, **kwargs: whole_noise(0.5))
    monkeypatch.setattr(doctor, "all_checks", lambda *args: [])
    result = invoke("doctor")
    assert result.exit_code == doctor.NOISY
    assert "ninetynine run" in result.stdout


def whole_noise(within: float) -> Noise:
    return Noise(
        kind="rough",
        seconds=1.0,
        spreads=tuple(
            Spread(metric=name, sessions=4, pairs=8, between=0.0, within=within)
            for name in (
                "cpu.integer",
                "memory.bandwidth",
                "network.throughput.host",
                "startup.first_instruction",
            )
        ),
        slices={},
        trouble=("rough, since this is a test",),
    )


def test_without_a_host_backend_it_is_rough_and_says_why(fakes, monkeypatch):
    monkeypatch.setattr(rough, "run", lambda seconds, tell: whole_noise(0.01))
    use(
        Dependencies.fake(
            {name: make for name, make in fake_backends().items() if name != "docker"},
            fake_scenarios(),
            fake_image(),
        )
    )
    monkeypatch.setattr(doctor.setup, "probe_one", lambda backend: doctor.NotAvailable("no root here"))
    found = json.loads(invoke("doctor", "--json").stdout)
    assert found["noise"]["kind"] == "rough"
    assert any("no root here" in words for words in found["noise"]["trouble"])


SLICES = (
    "cpu.integer",
    "cpu.float",
    "memory.bandwidth",
    "network.throughput.host",
)


@pytest.mark.slow
@pytest.mark.parametrize(("cv", "decided"), [(0.002, True), (0.2, False)])
def test_a_run_does_what_the_self_test_before_it_said(tmp_path, monkeypatch, cv, decided):
    """On systems in memory, through the whole walk with its looks: all decided in time, or not."""
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    scenarios = [FakeScenario(name, name.partition(".")[0], cv=cv, cost_s=0.1) for name in SLICES]
    found = test(scenarios[:-1], seconds=40.0)
    world = Dependencies.fake(
        {"host": lambda root: FakeBackend("host"), "runtime": lambda root: FakeBackend("runtime")},
        scenarios,
        fake_image(),
    )
    wanted = execute.Options(profile="quick", out=tmp_path / "run", seed=1, backends="host,runtime")
    run = execute.start(world, wanted, Observer()).run
    ahead = forecast(found, run.plan, {one.name: one for one in scenarios}, PROFILES["quick"], "runtime")
    closed = {one.scenario for one in run.closed if one.arm == "runtime"}
    # The network has no noise of its own without a wire, so it is in the run and not in the forecast.
    assert {one.metric for one in ahead.metrics} == set(SLICES[:-1])
    assert ahead.fits == decided
    assert (set(SLICES) <= closed) == decided
