from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import store
from reports.load import Evidence, ReportError, load
from tests.reports import synthetic


@pytest.fixture
def copy(run_dir: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run_dir, tmp_path / "run")


def test_samples_come_in_run_order_and_arms_in_the_plans(evidence: Evidence) -> None:
    assert evidence.samples["order"].is_monotonic_increasing
    assert evidence.arms == synthetic.ARMS
    assert list(evidence.all_of("cpu.integer")["arm"].unique()) == list(synthetic.ARMS)


def test_controls_are_no_systems_under_test_but_the_host_once_more_is(evidence: Evidence) -> None:
    assert evidence.systems == ("runtime", "again", "vm-tcg", "crun")
    assert list(evidence.of("cpu.integer")["arm"].unique()) == [evidence.baseline, *evidence.systems]


def test_samples_that_do_not_count_are_kept_apart(evidence: Evidence) -> None:
    lost = len(evidence.samples) - len(evidence.valid)

    assert lost > 0
    assert len(evidence.shown) == len(evidence.samples)


def test_what_is_not_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"/nowhere: .*`ninetynine list runs`"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [store.RUN, store.SAMPLES])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()

    with pytest.raises(ReportError, match=name):
        load(copy)


def test_a_run_without_verdicts_is_shown_with_a_remark(copy: Path) -> None:
    (copy / store.VERDICTS).unlink()

    assert load(copy).verdicts == ()
    assert "ninetynine judge" in load(copy).remarks[0]


@pytest.mark.parametrize("name", [store.RUN, store.SAMPLES, store.VERDICTS])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_at_any_byte_is_named(copy: Path, name: str, data: st.DataObject) -> None:
    whole = (copy / name).read_bytes()
    # The last byte of our JSON is a line feed, which no reader misses.
    (copy / name).write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
    try:
        with pytest.raises(ReportError, match=name):
            load(copy)
    finally:
        (copy / name).write_bytes(whole)


def test_a_run_of_another_schema_is_refused(copy: Path) -> None:
    text = (copy / store.RUN).read_text().replace('"schema": "1.', '"schema": "7.')
    (copy / store.RUN).write_text(text)

    with pytest.raises(ReportError, match=r"run\.json.*7\."):
        load(copy)
