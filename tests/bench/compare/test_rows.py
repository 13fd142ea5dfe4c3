"""Each metric's row: what is compared with what, on which scale, and how it reads."""

import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import store
from bench.compare import CompareError, compare
from bench.model import NotMeasured
from bench.profiles import MOST_SESSIONS
from tests.bench.compare.made import METRICS, drawn, loaded, metric, record


def rows(result):
    return {(row.verdict.metric, row.verdict.arm): row for row in result.rows}


def pair(tmp_path, old, new, metrics=METRICS, **how):
    return compare(loaded(tmp_path / "old", old, metrics), loaded(tmp_path / "new", new, metrics), **how)


def test_nothing_changed_is_not_worse_in_any_metric(tmp_path):
    found = pair(tmp_path, drawn(seed=1), drawn(seed=2), margin=0.98)
    assert {row.state for row in found.rows} == {"not worse"}
    assert found.outcome.answer == "nothing worse"


def test_a_loss_is_worse_and_shown_in_the_direction_of_performance(tmp_path):
    found = pair(tmp_path, drawn(seed=1), drawn(effects={("cpu.float", "runtime"): 0.95}, seed=2))
    first = found.rows[0]
    assert (first.state, first.verdict.metric, first.verdict.verdict) == ("worse", "cpu.float", "refuted")
    assert first.verdict.estimate == pytest.approx(0.95, abs=0.01)
    assert first.verdict.claim == "compare"
    assert first.sentence.startswith("cpu.float on runtime: NEW runs at 9")
    assert "% of OLD's performance" in first.sentence
    assert found.outcome.worse == ("cpu.float on runtime",)


def test_where_lower_values_are_better_a_loss_is_below_one_too(tmp_path):
    slow = (metric("memory.latency", "ns", "lower"),)
    new = drawn(slow, {("memory.latency", "runtime"): 0.9}, seed=2)
    found = rows(pair(tmp_path, drawn(slow, seed=1), new, slow))["memory.latency", "runtime"]
    assert (found.state, round(found.verdict.estimate, 1)) == ("worse", 0.9)
    assert found.new > found.old


def test_a_gain_is_better(tmp_path):
    found = rows(pair(tmp_path, drawn(seed=1), drawn(effects={("cpu.float", "runtime"): 1.06}, seed=2)))
    assert found["cpu.float", "runtime"].state == "better"
    assert found["cpu.float", "runtime"].verdict.verdict == "supported"


def test_a_host_that_drifts_between_the_runs_is_named_and_decides_nothing(tmp_path):
    found = pair(tmp_path, drawn(seed=1), drawn(drift=0.8, seed=2), margin=0.98)
    by_arm = {arm: {row.state for row in found.rows if row.verdict.arm == arm} for arm in ("host", "runtime")}
    assert by_arm == {"host": {"worse"}, "runtime": {"not worse"}}
    assert {row.role for row in found.rows if row.verdict.arm == "host"} == {"context"}
    assert "the host itself runs at 8" in rows(found)["cpu.float", "host"].sentence
    assert found.outcome.answer == "nothing worse"


def test_controls_and_metrics_that_are_only_shown_have_no_row(tmp_path):
    metrics = (*METRICS, metric("startup.phase.spawn", "s", "lower", "info"))
    found = pair(tmp_path, drawn(metrics), drawn(metrics, seed=2), metrics)
    assert {row.verdict.arm for row in found.rows} == {"host", "runtime"}
    assert not any(row.verdict.metric.startswith("startup.phase") for row in found.rows)


def test_what_new_does_not_have_is_gone_with_its_reason_and_what_old_had_not_is_new(tmp_path):
    old, new = drawn(arms=("host", "host-b", "crun")), drawn(seed=2)
    gap = NotMeasured(arm="crun", metric="", reason="crun: no such program on PATH")
    found = compare(
        loaded(tmp_path / "old", old[old["metric"] != "cpu.float"]),
        loaded(
            tmp_path / "new",
            drawn(seed=2, arms=("host", "host-b", "crun"))[lambda x: x["metric"] != "cpu.integer"],
        ),
    )
    states = {key: row.state for key, row in rows(found).items()}
    assert states["cpu.integer", "crun"] == "gone"
    assert states["cpu.float", "crun"] == "new"
    both = drawn(arms=("host", "host-b", "crun", "runtime"))
    away = compare(
        loaded(tmp_path / "o", both), loaded(tmp_path / "n", new, not_measured=(gap,)), margin=0.98
    )
    told = rows(away)["cpu.integer", "crun"]
    assert told.verdict.reason == "not measured in NEW: crun: no such program on PATH"
    assert (told.verdict.verdict, away.outcome.answer) == ("not measured", "cannot tell")
    assert "cpu.integer on crun" in away.outcome.open


def test_a_new_metric_neither_helps_nor_harms(tmp_path):
    some = drawn(seed=1)
    found = compare(
        loaded(tmp_path / "old", some[some["metric"] != "cpu.float"]),
        loaded(tmp_path / "new", drawn(seed=2)),
        margin=0.98,
    )
    assert found.outcome.answer == "nothing worse"


def test_runs_with_nothing_in_common_are_no_comparison(tmp_path):
    one, other = drawn(arms=("host", "host-b", "crun")), drawn()
    with pytest.raises(CompareError, match=f"{tmp_path / 'old'}.*{tmp_path / 'new'}"):
        pair(tmp_path, one, other)


def test_too_few_sessions_decide_nothing_and_say_so(tmp_path):
    counts = {one.name: 8 for one in METRICS} | {"cpu.float": 3}
    found = pair(tmp_path, drawn(), drawn(sessions=counts, effects={("cpu.float", "runtime"): 0.5}, seed=2))
    row = rows(found)["cpu.float", "runtime"]
    assert (row.state, row.n_old, row.n_new) == ("cannot tell", 8, 3)
    assert row.verdict.reason == "NEW has 3 sessions of it, at least 4 are needed"


def test_session_counts_may_differ_from_metric_to_metric(tmp_path):
    counts = {one.name: 5 + place for place, one in enumerate(METRICS)}
    found = pair(tmp_path, drawn(sessions=12), drawn(sessions=counts, seed=2), margin=0.97)
    assert {row.verdict.metric: row.n_new for row in found.rows if row.role != "context"} == counts
    assert found.outcome.answer == "nothing worse"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"unit": "ops/s"}, "its unit was 'events/s' and is 'ops/s'"),
        ({"better": "lower"}, "its direction was 'higher' and is 'lower'"),
    ],
)
def test_a_metric_that_means_something_else_now_is_not_compared(tmp_path, changed, reason):
    metrics = (msgspec.structs.replace(METRICS[0], **changed), *METRICS[1:])
    old = loaded(tmp_path / "old", drawn())
    new = loaded(tmp_path / "new", drawn(metrics, seed=2), metrics)
    row = rows(compare(old, new))["cpu.integer", "runtime"]
    assert (row.state, row.verdict.reason) == ("cannot tell", reason)


def test_bytes_are_compared_as_they_are_and_not_with_the_hosts(tmp_path):
    size = (*METRICS, metric("memory.per_instance", "B", "lower"))
    old = drawn(size, level=1e6)
    new = drawn(size, {("memory.per_instance", "host"): 0.8}, level=1e6, seed=2)
    row = rows(pair(tmp_path, old, new, size, margin=0.95))["memory.per_instance", "runtime"]
    assert (row.scale, row.state, row.verdict.baseline) == ("value", "not worse", "")


@pytest.mark.parametrize(
    ("sizes", "state"),
    [((0, 0), "not worse"), ((0, 8192), "not worse"), ((0, 65536), "worse"), ((65536, 0), "better")],
)
def test_a_count_that_a_claim_limits_is_a_difference_by_the_claims_yardstick(tmp_path, sizes, state):
    """One per cent of the MiB that the claim allows is 10.24 KiB."""
    size = (*METRICS, metric("disk.extra_instance", "B", "lower"))
    runs = []
    for number, bytes_ in enumerate(sizes):
        frame = drawn(size, seed=number)
        frame.loc[frame["metric"] == "disk.extra_instance", "value"] = float(bytes_)
        runs.append(frame)
    row = rows(pair(tmp_path, *runs, size))["disk.extra_instance", "runtime"]
    assert (row.scale, row.state) == ("difference", state)
    assert row.verdict.estimate == sizes[1] - sizes[0]
    assert row.verdict.margin == pytest.approx(0.01 * 2**20)
    assert ("more than OLD" if sizes[1] >= sizes[0] else "less than OLD") in row.sentence


def test_without_the_hosts_own_value_the_arms_own_is_compared(tmp_path):
    frames = [drawn(seed=seed) for seed in (1, 2)]
    alone = [f[(f["metric"] != "cpu.float") | (f["arm"] == "runtime")] for f in frames]
    row = rows(pair(tmp_path, *alone, margin=0.98))["cpu.float", "runtime"]
    assert (row.scale, row.state) == ("value", "not worse")


def test_the_worst_of_many_is_not_picked_by_luck(tmp_path):
    """One of 30 that is just beyond the margin is worse by itself, and not as the worst of 30."""
    many = tuple(metric(f"cpu.m{number}") for number in range(30))
    old, new = drawn(many, seed=1), drawn(many, {("cpu.m0", "runtime"): 0.98}, seed=2)
    found = rows(pair(tmp_path, old, new, many))["cpu.m0", "runtime"]
    assert found.p < 0.05 < found.p_adjusted
    assert found.state == "cannot tell"
    assert found.verdict.reason.startswith("worse by itself, but not as the worst of many")


def test_what_could_not_be_used_is_reported(tmp_path):
    new = drawn(seed=2)
    of_float = new["metric"] == "cpu.float"
    new.loc[of_float & (new["arm"] == "runtime") & (new["block"] == 0), ["valid", "reason"]] = (
        False,
        "pressure",
    )
    new.loc[of_float & (new["arm"] == "runtime") & (new["block"] == 1), "value"] = 0.0
    row = rows(pair(tmp_path, drawn(), new, margin=0.97))["cpu.float", "runtime"]
    assert row.state == "not worse"
    assert row.verdict.reason == (
        "left out of NEW: 8 invalid samples of runtime (pressure), 8 pairs of zero or below"
    )


STRANGE = st.sampled_from([0.0, -1.0, math.nan, math.inf, 1e-300, 1e300])


@pytest.mark.slow
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_missing_or_strange_it_answers_or_says_why_not(data):
    """Rows dropped, values no workload gives, invalid samples: never a traceback, never a false pass."""
    sides = []
    for name, seed in (("old", 1), ("new", 2)):
        frame = drawn(METRICS[:2], sessions=5, blocks=2, seed=seed)
        for _ in range(data.draw(st.integers(0, 4))):
            chosen = np.array(frame["session"].isin(data.draw(st.sets(st.integers(0, 4)))))
            chosen &= np.asarray(frame["arm"] == data.draw(st.sampled_from(["host", "host-b", "runtime"])))
            what = data.draw(st.sampled_from(["drop", "value", "invalid"]))
            if what == "drop":
                frame = frame[~chosen].reset_index(drop=True)
            elif what == "value":
                frame.loc[chosen, "value"] = data.draw(STRANGE)
            else:
                frame.loc[chosen, ["valid", "reason"]] = False, "pressure"
        whole = record(drawn(METRICS[:2], sessions=5, blocks=2), METRICS[:2], id=name)
        sides.append(store.Loaded(directory=Path(name), run=whole, samples=frame))
    try:
        found = compare(*sides, margin=0.9)
    except CompareError:
        return
    assert found.outcome.status in (0, 1, 2)
    if found.outcome.answer == "nothing worse":
        primary = [row for row in found.rows if row.role == "primary" and row.state != "new"]
        assert primary
        assert all(row.n_old >= 4 and row.n_new >= 4 and row.verdict.low is not None for row in primary)


def test_stress_metrics_are_judged_and_do_not_decide(tmp_path):
    found = pair(tmp_path, drawn(), drawn(effects={("cpu.syscall", "runtime"): 0.8}, seed=2), margin=0.98)
    assert found.rows[0].state == "worse"
    assert found.rows[0].role == "stress"
    assert found.outcome.answer == "nothing worse"


def test_only_the_backends_asked_for_are_compared(tmp_path):
    arms = ("host", "host-b", "runtime", "crun")
    new = drawn(arms=arms, effects={("cpu.float", "crun"): 0.5}, seed=2)
    found = pair(tmp_path, drawn(arms=arms), new, margin=0.98, backends=("runtime",))
    assert found.outcome.answer == "nothing worse"
    assert {row.verdict.arm for row in found.rows} == {"host", "runtime"}


def test_what_no_profile_could_decide_is_not_in_sight(tmp_path):
    found = pair(tmp_path, drawn(noise=0.05, seed=1), drawn(noise=0.05, seed=2))
    reasons = {row.verdict.reason for row in found.rows if row.state == "cannot tell"}
    asked = [int(number) for text in reasons for number in re.findall(r"about (\d+) sessions", text)]
    assert max(asked, default=0) <= MOST_SESSIONS
    assert any("not in sight: no profile has as many sessions as would decide it" in text for text in reasons)


def test_an_open_row_names_the_margin_that_could_have_been_decided(tmp_path):
    found = pair(tmp_path, drawn(noise=0.05, seed=1), drawn(noise=0.05, seed=2))
    assert found.outcome.answer == "cannot tell"
    assert 0.9 < found.outcome.tellable < 0.99
    assert any("sessions like these in each run would decide" in row.verdict.reason for row in found.rows)
    again = pair(
        tmp_path / "again",
        drawn(noise=0.05, seed=1),
        drawn(noise=0.05, seed=2),
        margin=found.outcome.tellable - 1e-9,
    )
    assert again.outcome.answer == "nothing worse"


def test_the_order_of_samples_changes_nothing(tmp_path):
    old, new = drawn(), drawn(effects={("cpu.float", "runtime"): 0.95}, seed=2)
    shuffled = new.iloc[np.random.default_rng(1).permutation(len(new))]
    one, other = pair(tmp_path / "a", old, new), pair(tmp_path / "b", old, shuffled)
    assert one.rows == other.rows


@pytest.mark.parametrize(("name", "value"), [("margin", 1.0), ("alpha", 0.5)])
def test_a_margin_or_a_level_out_of_range_is_refused(tmp_path, name, value):
    with pytest.raises(CompareError, match=rf"\b{name}\b.*\b{value:g}\b"):
        pair(tmp_path, drawn(), drawn(seed=2), **{name: value})
