"""Which runs are no result, and what a run that lacks something may still be compared with."""

import msgspec
import pytest

from bench.compare import CompareError, compare, validity
from bench.model import POSITIVE, Looks
from tests.bench.compare.made import METRICS, drawn, loaded, metric, record
from tests.reports.made_verdicts import verdict

MANY = tuple(metric(f"cpu.m{number}") for number in range(8))


def bad_control():
    """host-b 5 % slower than host in everything: the control must fail."""
    return drawn(MANY, {(one.name, "host-b"): 0.95 for one in MANY})


def plan(samples, metrics=METRICS, **changes):
    return msgspec.structs.replace(record(samples, metrics).plan, **changes)


@pytest.mark.parametrize("which", ["old", "new"])
@pytest.mark.parametrize(
    ("samples", "metrics", "changes", "reason"),
    [
        (drawn(), METRICS, {"plan": plan(drawn(), profile="smoke")}, "smoke"),
        (drawn(), METRICS, {"status": "failed"}, "failed"),
        (drawn().assign(valid=False), METRICS, {}, "valid"),
        (bad_control(), MANY, {}, r"control\.aa: "),
    ],
    ids=["smoke", "failed", "no valid sample", "control failed"],
)
def test_a_run_that_is_not_a_result_is_refused_on_either_side(
    tmp_path, which, samples, metrics, changes, reason
):
    good = loaded(tmp_path / "good", drawn(metrics, seed=5), metrics)
    bad = loaded(tmp_path / "bad", samples, metrics, **changes)
    with pytest.raises(CompareError, match=rf"/bad .*\b{reason}"):
        compare(*((bad, good) if which == "old" else (good, bad)))


def test_an_interrupted_run_is_compared_with_what_it_has(tmp_path):
    old = loaded(tmp_path / "old", drawn())
    new = loaded(tmp_path / "new", drawn(sessions=5, seed=2), status="interrupted")
    found = compare(old, new, margin=0.97)
    assert found.outcome.answer == "nothing worse"
    assert f"{new.directory}: interrupted; compared with the 5 sessions it has" in found.notes


def test_a_run_that_lacked_power_says_so_once(tmp_path):
    run = loaded(tmp_path / "run", drawn())
    weak = verdict(POSITIVE, "joint", "inconclusive", notes=("this run lacked the power to see 2 % in cpu",))
    assert validity._notes(run, [weak]) == [f"{run.directory}: this run lacked the power to see 2 % in cpu"]


def test_without_a_control_no_row_decides_and_each_says_why(tmp_path):
    old = loaded(tmp_path / "old", drawn())
    new = loaded(tmp_path / "new", drawn(arms=("host", "runtime"), effects={("cpu.float", "runtime"): 0.5}))
    found = compare(old, new)
    assert found.outcome.answer == "cannot tell"
    assert {row.state for row in found.rows} == {"cannot tell"}
    assert all("A/A control could not be judged" in row.verdict.reason for row in found.rows)


def test_a_run_that_stopped_by_looks_is_trusted_with_less(tmp_path):
    frames = drawn(noise=0.02), drawn(noise=0.02, seed=2)
    looks = plan(frames[0], looks=Looks(first=4, last=16))
    wide = compare(*(loaded(tmp_path / f"l{n}", f, plan=looks, sessions_run=8) for n, f in enumerate(frames)))
    usual = compare(*(loaded(tmp_path / f"p{n}", f) for n, f in enumerate(frames)))

    def widths(found):
        return {(r.verdict.metric, r.verdict.arm): r.verdict.high - r.verdict.low for r in found.rows}

    assert all(widths(wide)[key] >= width for key, width in widths(usual).items())
    assert any(widths(wide)[key] > 1.01 * width for key, width in widths(usual).items())
