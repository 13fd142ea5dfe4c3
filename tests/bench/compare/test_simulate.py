"""The error rates that docs/validation.md promises, in small versions, by fixed seeds."""

import pytest

from bench.compare.simulate import NOISES, TABLES, Design, rates
from bench.model import Looks
from bench.stats.validate import page

pytestmark = pytest.mark.slow

ALPHA = 0.05
RUNS = 200
LOOKS = Looks(first=4, last=16)
SLACK = 0.031
"""Two standard errors of a true 5 % in 200 gates."""

BY_NAME = {world.name: world for world in NOISES}
LUCK = BY_NAME["session effects"]
ORDINARY = [world for world in NOISES if world.name not in ("bimodal instances", "recorded runs")]


@pytest.mark.parametrize("world", NOISES, ids=lambda world: world.name)
@pytest.mark.parametrize("sessions", [(4, 4), (8, 8), (5, 12)], ids=str)
def test_where_nothing_changed_a_gate_over_40_metrics_errs_in_at_most_alpha(world, sessions):
    assert rates(Design(world=world, sessions=sessions), RUNS, 1).false <= ALPHA


@pytest.mark.parametrize("world", NOISES, ids=lambda world: world.name)
@pytest.mark.parametrize("ratio", [1.0, 0.97])
def test_the_same_holds_for_runs_that_stopped_by_looks(world, ratio):
    found = rates(Design(world=world, sessions=(16, 16), ratio=ratio, looks=LOOKS), RUNS, 2)
    assert found.false <= ALPHA
    assert found.sessions < 16, "no run stopped early, so nothing was tried"


@pytest.mark.parametrize("world", ORDINARY, ids=lambda world: world.name)
@pytest.mark.parametrize(("sessions", "looks"), [((8, 8), None), ((4, 16), None), ((16, 16), LOOKS)], ids=str)
def test_with_every_metric_exactly_on_the_margin_it_still_holds(world, sessions, looks):
    design = Design(world=world, sessions=sessions, kept=0.99, others=0.99, looks=looks)
    assert rates(design, RUNS, 3).false <= ALPHA + SLACK


def test_a_loss_of_five_per_cent_in_one_metric_of_40_is_found():
    found = rates(Design(world=LUCK, kept=0.95), RUNS, 4)
    assert found.found >= 0.9
    assert found.false <= ALPHA


def test_a_second_run_costs_little_power_and_saves_false_alarms():
    lost = Design(world=LUCK, kept=0.95)
    once, twice = (rates(lost, RUNS, 5, confirmed=one) for one in (False, True))
    assert once.found >= twice.found >= once.found - 0.1
    margin = Design(world=LUCK, kept=0.99, others=0.99)
    assert rates(margin, RUNS, 6, confirmed=True).false < rates(margin, RUNS, 6).false


def test_the_same_seed_gives_the_same_rates():
    assert rates(Design(world=LUCK), 20, 9) == rates(Design(world=LUCK), 20, 9)


def test_each_table_has_its_place_in_the_page():
    text = page.PAGE.read_text()
    assert page.put(text, dict.fromkeys(TABLES, "")) != text
