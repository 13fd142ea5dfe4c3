"""Runs cut at random moments and gone on with: on fakes quickly, for real where there is root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bench import journal, store
from bench.journal import Contents, DropLine, Journal, RunLine
from bench.model import Plan, Sample
from bench.plan import make_plan
from bench.profiles import CORE_SHARE, PROFILES
from bench.testing import fake_arms, fake_run, fake_scenarios
from tests.e2e.leftovers import Room
from tests.e2e.real_runs import Ninetynine
from tests.studies import interruptions
from tests.studies.interruptions import checked, interrupt_and_resume


def on_fakes(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.testing", *map(str, words)],
        env=os.environ | {"NINETYNINE_FAKE_SLICE_S": "0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_run_on_fakes_loses_nothing_to_ctrl_c_and_kill_9(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    words = ("--backends", "runtime", "--families", "cpu", "--budget", 10, "--seed", 5)
    story = interrupt_and_resume(on_fakes, tmp_path / "run", words, 2, seed=11, say=lambda text: None)

    assert story.whole, story
    assert [leg.kind for leg in story.legs] == ["SIGINT", "SIGKILL"]
    assert [leg.status for leg in story.legs] == [130, -signal.SIGKILL]
    steps = [leg.steps for leg in story.legs]
    assert steps == sorted(steps)
    assert 0 < steps[-1] < story.steps


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_run_interrupted_again_and_again_is_whole(
    ninetynine: Ninetynine, room: Room, tmp_path: Path
) -> None:
    before = room.census()
    words = ("--backends", "runtime", "--families", "cpu", "--budget", 10, "--seed", 5)
    story = interrupt_and_resume(ninetynine.start, tmp_path / "run", words, 2, seed=7)

    assert story.whole, story
    assert not room.left(before)


class Whole:
    """A closed run whose journal a test then spoils."""

    def __init__(self, run: Path) -> None:
        small = msgspec.structs.replace(PROFILES["quick"], sessions=5, first_look=0, max_visits=1)
        arms = fake_arms(runtime="runtime")
        self.plan: Plan = make_plan(small, 5, arms, fake_scenarios()[2:4], cpus=(0,))
        self.run = run
        first, *others = self.plan.steps
        with Journal(run / journal.NAME) as book:
            book.append(RunLine(run=fake_run(self.plan)))
            for step in others:
                book.step(step.order, [self.sample(step.order)])
            book.append(DropLine(orders=(first.order,), reason="for a reason"))
            book.append(RunLine(run=fake_run(self.plan, "complete")))
        store.close(run, fake_run(self.plan, "complete"))

    def sample(self, order: int) -> Sample:
        step = self.plan.steps[order]
        return Sample(
            run="r", session=step.session, block=step.block, order=order, scenario=step.scenario,
            arm=step.arm, metric=step.scenario, unit="s", better="lower", value=1.0, start_ns=order,
            duration_ns=1,
        )  # fmt: skip

    @property
    def path(self) -> Path:
        return self.run / journal.NAME

    def add(self, write: Callable[[Journal], None]) -> None:
        with Journal(self.path) as book:
            write(book)

    def wrong(self, kept: tuple[bytes, ...] = ()) -> dict[str, str]:
        """The questions whose answer is wrong."""
        contents: Contents = journal.read(self.path)
        return {one.question: one.wrong for one in checked(self.run, self.plan, kept, contents) if one.wrong}


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    return Whole(tmp_path / "run")


def test_nothing_is_wrong_with_a_whole_run(whole: Whole) -> None:
    assert whole.wrong((whole.path.read_bytes()[:500], whole.path.read_bytes())) == {}


def test_a_line_that_is_gone_is_found(whole: Whole) -> None:
    lines = whole.path.read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[:4])
    whole.path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    wrong = whole.wrong((b"".join(lines[:2]), kept))

    assert wrong["all that was in the journal before each interruption still there?"].endswith("[2]")
    assert (
        "neither measured nor left out: [2]" in wrong["each step once, measured or left out with a reason?"]
    )


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda book: book.append(DropLine(orders=(3,), reason="late")), "measured and left out: [3]"),
        (lambda book: book.append(DropLine(orders=(0,), reason="late")), "left out twice: [0]"),
        (lambda book: book.append(DropLine(orders=(9999,), reason="late")), "not planned: [9999]"),
        (lambda book: book.append(DropLine(orders=(), reason="")), "no reason"),
    ],
)  # fmt: skip
def test_a_step_that_is_there_in_two_ways_is_found(
    whole: Whole, write: Callable[[Journal], None], said: str
) -> None:
    whole.add(write)

    assert said in whole.wrong()["each step once, measured or left out with a reason?"]


def test_a_step_measured_twice_is_found(whole: Whole) -> None:
    whole.add(lambda book: book.step(2, [whole.sample(2)]))

    assert "measured twice: [2]" in whole.wrong()["each step once, measured or left out with a reason?"]


def test_a_sample_that_the_file_lacks_is_found(whole: Whole) -> None:
    store.write_samples(whole.run, [whole.sample(step.order) for step in whole.plan.steps[2:]])

    assert "the samples of the journal, and no others, in the Parquet file?" in whole.wrong()


def test_moments_lie_in_the_time_before_the_first_look(whole: Whole) -> None:
    found = interruptions._moments(whole.plan, 50, interruptions.random.Random(1))

    assert found == sorted(found)
    assert found[0] >= 0
    assert found[-1] < CORE_SHARE * whole.plan.budget_s


def test_the_seconds_measured_are_those_of_the_last_whole_step(whole: Whole) -> None:
    assert interruptions._elapsed(whole.run) == 0.0
    whole.add(lambda book: book.step(2, [whole.sample(2)], 0.5, 1.5))
    whole.add(lambda book: book.step(3, [whole.sample(3)], 0.5, 2.25))

    assert interruptions._elapsed(whole.run) == 2.25
    assert interruptions._elapsed(whole.run / "nowhere") == 0.0
