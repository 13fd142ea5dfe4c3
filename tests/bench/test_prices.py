"""What visits cost is learnt from complete runs, kept by machine, and used by the next plan."""

import msgspec

from bench.cli import prices
from bench.measure.ledger import RunLedger
from bench.measure.slices import Taken
from bench.model import Prices
from bench.plan import forecast, make_plan, paces_of
from bench.profiles import PROFILES, pace, visit_s
from bench.testing import fake_arms, fake_scenarios

ARMS = fake_arms(runtime="runtime")
BY_NAME = {one.name: one for one in fake_scenarios()}


def learnt(**visits: float) -> Prices:
    seconds = {name.replace("_", "."): {"host": cost, "runtime": cost} for name, cost in visits.items()}
    return Prices(run="r", visits=seconds, starts={"host": 0.5})


def test_a_known_price_is_the_forecast_of_a_visit_and_of_a_start():
    plan = make_plan(PROFILES["quick"], 1, ARMS, list(BY_NAME.values()), prices=learnt(cpu_integer=2.0))
    paces = paces_of(plan)
    assert visit_s(BY_NAME["cpu.integer"], paces["host"]) == 2.0
    assert visit_s(BY_NAME["cpu.integer"], paces["host-b"]) == visit_s(BY_NAME["cpu.integer"], pace(ARMS[1]))
    assert paces["host"].start_s == 0.5
    usual = make_plan(PROFILES["quick"], 1, ARMS, list(BY_NAME.values()))
    seconds = [sum(cost for *_, cost in forecast(one, BY_NAME, PROFILES["quick"])) for one in (plan, usual)]
    assert seconds[0] > seconds[1]
    assert plan.prices is not None, "the plan says what it was made with"


def test_the_ledger_learns_medians_of_visits_and_starts():
    plan = make_plan(PROFILES["quick"], 1, ARMS, list(BY_NAME.values()))
    ledger = RunLedger(plan, BY_NAME)
    first = plan.steps[0]
    for seconds in (1.0, 2.0, 9.0):
        ledger.measured(first, Taken(samples=(), seconds=seconds))
    ledger.started("host", 0.25)
    found = ledger.learnt("r")
    assert found.visits == {first.scenario: {first.arm: 2.0}}
    assert found.starts == {"host": 0.25}


def test_prices_are_kept_by_machine_and_what_a_run_did_not_measure_stays(tmp_path):
    assert prices.load(tmp_path, "m") is None
    prices.keep(tmp_path, "m", learnt(cpu_integer=1.0, memory_bandwidth=3.0))
    prices.keep(tmp_path, "m", msgspec.structs.replace(learnt(cpu_integer=2.0), run="s"))
    found = prices.load(tmp_path, "m")
    assert found is not None
    assert found.run == "s"
    assert found.visits["cpu.integer"]["host"] == 2.0
    assert found.visits["memory.bandwidth"]["host"] == 3.0
    assert prices.load(tmp_path, "other") is None
    (tmp_path / "prices" / "m.json").write_bytes(b"{")
    assert prices.load(tmp_path, "m") is None, "a broken file costs nothing but its prices"
