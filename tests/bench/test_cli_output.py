"""What a person reads while a run goes on."""

import io

import pytest
from rich.console import Console

from bench.cli import tables
from bench.cli.progress import Bar, Lines, Silent, progress
from bench.measure import FamilyTally, Tally
from bench.model import Step, Verdict


def console(terminal: bool = False, width: int = 100) -> Console:
    # Not this process's TERM: on a dumb terminal rich draws no bar at all.
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, _environ={"TERM": "xterm"})


def text(found: Console) -> str:
    return found.file.getvalue()


class Clock:
    """A clock that only moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


STEP = Step(order=0, session=0, block=0, group="own", scenario="startup.first_byte", arm="vm-tcg")
VERDICT = Verdict(
    claim="performance",
    metric="cpu.float",
    arm="runtime",
    baseline="host",
    estimate=0.99871,
    low=0.9912,
    high=1.0042,
    margin=0.99,
    alpha=0.05,
    n_sessions=8,
    n_pairs=40,
    verdict="inconclusive",
)
TALLY = Tally(
    sessions=5,
    decided=14,
    pairs=22,
    seconds_left=90.4,
    families=(
        FamilyTally(family="startup", decided=12, pairs=12),
        FamilyTally(family="cpu", decided=2, pairs=3, furthest=VERDICT),
        FamilyTally(family="disk", decided=0, pairs=4, out_of_reach=3),
    ),
)


@pytest.mark.parametrize("width", [60, 80])
def test_the_bar_names_family_and_arm_the_count_and_the_time_left(width):
    where = console(terminal=True, width=width)
    bar = Bar(where)
    bar.begin(1000, 90)
    bar.starting(0, "own", "vm-tcg")
    assert "session 1: start vm-tcg" in text(where)
    bar.advanced(1, 75)
    bar._draw(now=True)
    assert "1/1000" in text(where)
    assert "1:25 left" in text(where)  # judging and the page come after the 75 s of measuring
    bar.end()


def test_each_family_has_a_line_with_what_is_decided_and_the_number_that_is_open():
    where = console(terminal=True)
    bar = Bar(where)
    bar.begin(10, 90)
    bar.step(STEP, "startup")
    bar._draw(now=True)
    assert "startup  1 slices" in text(where)
    bar.looked(TALLY)
    bar.repeated(2)
    bar.advanced(1, 75)
    bar._draw(now=True)
    bar.end()
    assert "startup  12 of 12 decided" in text(where)
    assert "cpu      2 of 3 decided; floating point of runtime 99.9 % (99.1 to 100.4 %)" in text(where)
    assert "disk     0 of 4 decided, 3 out of reach" in text(where)
    assert "1:25 left, 2 repeated" in text(where)


def test_nothing_is_drawn_between_two_redraws():
    clock, where = Clock(), console(terminal=True)
    bar = Bar(where, clock)
    bar.begin(10, 90)
    before = text(where)
    bar.step(STEP, "startup")
    assert text(where) == before
    clock.now = 1.0
    bar.step(STEP, "startup")
    assert text(where) != before
    bar.end()


def test_a_pipe_gets_a_line_a_minute():
    clock, where = Clock(), console()
    lines = Lines(where, clock)
    lines.begin(120, 200)
    for second in range(0, 130, 10):
        clock.now = float(second)
        lines.starting(second // 60, "own", "host")
        if second == 100:
            lines.looked(TALLY)
        lines.advanced(1, 200 - second)
    lines.note("vm did not start\nwith a traceback")
    assert text(where).splitlines() == [
        "· measuring: 120 steps, 3:30 left",
        "· 1:00, session 2; 2:30 left",
        "· 2:00, session 3; decided: startup 12 of 12, cpu 2 of 3, disk 0 of 4; 1:30 left",
        "! vm did not start",
    ]


def test_of_a_traceback_the_last_line_is_shown():
    where = console()
    Lines(where).note("step 866: Traceback (most recent call last):\n  File x\nKeyError: 'wire'\n")
    assert text(where) == "! step 866: KeyError: 'wire'\n"


def test_a_phase_that_takes_long_says_how_long():
    clock, where = Clock(), console()
    lines = Lines(where, clock)
    lines.say("host: preparing the image")
    clock.now = 7.0
    lines.done()
    for seconds in (1.0, 9.0):
        with lines.busy("judging"):
            clock.now += seconds
    assert text(where).splitlines() == [
        "· host: preparing the image",
        "· host: preparing the image: 7 s",
        "· judging: 9 s",
    ]


def test_a_terminal_keeps_a_phase_as_one_line():
    clock, where = Clock(), console(terminal=True)
    bar = Bar(where, clock)
    with bar.busy("judging"):
        clock.now = 9.0
    assert text(where).rstrip().endswith("· judging, 9 s")


def test_the_watch_fits_the_place():
    assert isinstance(progress(console(terminal=True), quiet=False), Bar)
    assert isinstance(progress(console(), quiet=False), Lines)
    silent = progress(where := console(terminal=True), quiet=True)
    assert isinstance(silent, Silent)
    silent.note("nothing")
    with silent.busy("judging"):
        silent.say("nothing")
    assert text(where) == ""


def test_a_table_that_does_not_fit_is_one_line_a_cell():
    where = console(width=40)
    tables.plain(where, ("metric", "why"), [("network.throughput_streams_reverse.bridge", "not in sight")])
    assert text(where).splitlines()[-1].strip() == "why: not in sight"
    wide = console(width=80)
    tables.plain(wide, ("metric", "why"), [("cpu.integer", "decided")])
    assert text(wide).split() == ["metric", "why", "cpu.integer", "decided"]
