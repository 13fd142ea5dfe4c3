import numpy as np
import pytest

from bench.stats.control import FLOOR, joint_control, within_error

QUIET = 0.001


def noise(metrics: int, sessions: int, seed: int = 1) -> np.ndarray:
    return QUIET * np.random.default_rng(seed).standard_normal((metrics, sessions))


def test_equal_copies_pass() -> None:
    assert joint_control(noise(40, 6), np.zeros(40), FLOOR).joint > 0.01


def test_a_small_shift_of_all_metrics_is_seen_though_no_single_one_is() -> None:
    result = joint_control(noise(40, 6) + 0.002, np.zeros(40), FLOOR)
    assert result.metrics.min() > 0.1
    assert result.common < 0.001
    assert result.joint == pytest.approx(2 * result.common)


def test_one_metric_measured_askew_is_named() -> None:
    table = noise(10, 8)
    table[3] += 0.05
    result = joint_control(table, np.zeros(10), FLOOR)
    assert result.metrics.argmin() == 3
    assert result.joint < 0.001


def test_bytes_that_agree_exactly_do_not_fail_a_run() -> None:
    table = noise(3, 5)
    table[0] = 0.01
    as_noise = joint_control(table, np.zeros(3), 1e-6)
    as_counts = joint_control(table, np.zeros(3), 1e-6, np.array([True, False, False]))
    assert as_noise.metrics[0] < 0.001 < as_counts.metrics[0]


def test_bytes_alone_cannot_fail_a_run_of_few_sessions() -> None:
    assert joint_control(np.full((1, 6), 0.01), np.zeros(1), FLOOR, np.array([True])).joint > 0.01


def test_one_quiet_metric_does_not_fail_a_run_over_a_tenth_of_the_margin() -> None:
    table = 0.001 + 1e-6 * np.arange(6.0)[None, :]
    assert joint_control(table, np.zeros(1), FLOOR).joint > 0.01


def test_a_lucky_standard_deviation_is_held_by_the_noise_of_the_pairs() -> None:
    table = np.full((1, 4), 0.004) + np.array([0.0, 1e-5, -1e-5, 0.0])
    lucky = joint_control(table, np.zeros(1), 0.0)
    held = joint_control(table, np.array([0.004]), 0.0)
    assert lucky.metrics[0] < 0.001 < held.metrics[0]


def test_sessions_without_a_metric_are_left_out_of_it_alone() -> None:
    table = noise(5, 6)
    table[0, 4:] = np.nan
    full, some = joint_control(table[:, :4], np.zeros(5), FLOOR), joint_control(table, np.zeros(5), FLOOR)
    assert np.isfinite(some.joint)
    assert some.metrics[0] == pytest.approx(full.metrics[0])


def test_swapping_the_copies_changes_nothing() -> None:
    table = noise(7, 5) + 0.001
    one, other = joint_control(table, np.zeros(7), FLOOR), joint_control(-table, np.zeros(7), FLOOR)
    assert one.joint == pytest.approx(other.joint)
    assert one.metrics == pytest.approx(other.metrics)


def test_error_of_a_session_median_from_its_pairs() -> None:
    rng = np.random.default_rng(2)
    pairs = 0.01 * rng.standard_normal((4000, 9))
    medians = np.median(pairs, axis=1)
    deviation = np.median(np.abs(pairs - medians[:, None]))
    told = within_error(np.array([deviation]), np.array([9.0]))[0]
    assert told == pytest.approx(medians.std(), rel=0.15)
    assert within_error(np.array([0.1]), np.array([1.0]))[0] == 0.0
