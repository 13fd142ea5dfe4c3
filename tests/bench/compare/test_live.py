"""What a second run makes of a first one that was worse."""

import pytest

from bench.compare import compare, live
from tests.bench.compare.made import METRICS, drawn, loaded, metric

LOST = {("cpu.float", "runtime"): 0.95}


@pytest.fixture
def old(tmp_path):
    return loaded(tmp_path / "old", drawn(seed=1))


def against(old, tmp_path, name, **how):
    return compare(old, loaded(tmp_path / name, drawn(**how)), margin=0.98)


def test_a_loss_that_is_there_again_is_confirmed(old, tmp_path):
    first = against(old, tmp_path, "new", effects=LOST, seed=2)
    found = live.confirm(first, against(old, tmp_path, "again", effects=LOST, seed=3))
    row = found.rows[0]
    assert (row.state, found.outcome.answer) == ("worse", "worse")
    assert "confirmed by a second run: 9" in row.verdict.reason
    assert row.sentence.endswith(f"({row.verdict.reason})")


def test_a_loss_that_is_not_there_again_is_not_reported_as_one(old, tmp_path):
    first = against(old, tmp_path, "new", effects=LOST, seed=2)
    found = live.confirm(first, against(old, tmp_path, "again", seed=3))
    row = found.rows[0]
    assert (row.state, row.verdict.verdict, found.outcome.answer) == (
        "cannot tell",
        "inconclusive",
        "cannot tell",
    )
    assert "worse in one run, not confirmed by a second: 100" in row.verdict.reason
    assert "worse:" not in row.sentence


def test_a_second_run_that_is_not_a_result_confirms_nothing(old, tmp_path):
    first = against(old, tmp_path, "new", effects=LOST, seed=2)
    found = live.confirm(first, None, "its control failed")
    assert found.outcome.answer == "cannot tell"
    assert "not confirmed by a second: its control failed" in found.rows[0].verdict.reason


def test_a_second_run_without_the_metric_confirms_nothing(old, tmp_path):
    first = against(old, tmp_path, "new", effects=LOST, seed=2)
    rest = drawn(effects=LOST, seed=3)
    second = compare(old, loaded(tmp_path / "again", rest[rest["metric"] != "cpu.float"]), margin=0.98)
    assert live.confirm(first, second).outcome.answer == "cannot tell"


def test_stress_metrics_are_confirmed_too_and_the_host_is_not_asked(old, tmp_path):
    slower = {("cpu.syscall", "runtime"): 0.8}
    first = against(old, tmp_path, "new", effects=slower, drift=0.8, seed=2)
    assert [row.verdict.metric for row in live.suspects(first)] == ["cpu.syscall"]
    found = live.confirm(first, against(old, tmp_path, "again", seed=3))
    states = {(row.verdict.metric, row.verdict.arm): row.state for row in found.rows}
    assert states["cpu.syscall", "runtime"] == "cannot tell"
    assert states["cpu.syscall", "host"] == "worse"


def test_only_the_suspects_share_the_level_of_the_second_run(tmp_path):
    """A loss that 30 metrics' correction would hide in the second run is seen among one suspect."""
    many = tuple(metric(f"cpu.m{number}") for number in range(30))
    lost = {("cpu.m0", "runtime"): 0.98}
    old = loaded(tmp_path / "old", drawn(many, seed=1), many)
    first = compare(old, loaded(tmp_path / "new", drawn(many, {("cpu.m0", "runtime"): 0.94}, seed=2), many))
    second = compare(old, loaded(tmp_path / "again", drawn(many, lost, seed=2), many))
    row = next(row for row in second.rows if row.verdict.metric == "cpu.m0" and row.role == "primary")
    assert row.p <= 0.05 < row.p_adjusted
    assert live.confirm(first, second).outcome.answer == "worse"


def test_families_to_measure_again_are_those_of_the_suspects(old, tmp_path):
    first = against(old, tmp_path, "new", effects=LOST, seed=2)
    assert live.families(live.suspects(first), {one.name: one.name.split(".")[0] for one in METRICS}) == [
        "cpu"
    ]
    assert live.families(live.suspects(first), {}) == ["cpu"]
