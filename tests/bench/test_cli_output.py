"""What a person reads while a run goes on, and at its end."""

import io

import msgspec
from rich.console import Console

from bench.cli import tables
from bench.cli.progress import Bar, Lines, progress
from bench.measure import Observer, Tally
from bench.model import NotMeasured, Step, Verdict


def console(terminal: bool = False) -> Console:
    # Not this process's TERM: on a dumb terminal rich draws no bar at all.
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, _environ={"TERM": "xterm"})


def text(found: Console) -> str:
    return found.file.getvalue()


STEP = Step(order=0, session=0, block=0, group="own", scenario="startup.first_byte", arm="vm-tcg")
VERDICT = Verdict(
    claim="performance",
    metric="cpu.integer",
    arm="runtime",
    baseline="host",
    estimate=0.99871,
    low=0.9912,
    high=1.0042,
    margin=0.99,
    alpha=0.05,
    n_sessions=8,
    n_pairs=40,
    verdict="supported",
)


def test_the_bar_names_family_and_arm_and_the_time_left():
    where = console(terminal=True)
    bar = Bar(where)
    bar.begin(10, 90)
    bar.starting(0, "own", "vm-tcg")
    bar.step(STEP, "startup")
    bar.advanced(1, 75)
    bar.end()
    assert "session 1: startup on vm-tcg" in text(where)
    assert "1/10" in text(where)
    assert "1:15 left" in text(where)


def test_a_pipe_gets_a_line_a_session():
    where = console()
    lines = progress(where, quiet=False)
    for session in (0, 0, 1):
        lines.starting(session, "own", "host")
    lines.note("vm did not start\nwith a traceback")
    assert text(where).splitlines() == ["· session 1", "· session 2", "! vm did not start"]


def test_looks_and_repetitions_are_shown():
    tally = Tally(sessions=5, decided=14, pairs=22, seconds_left=90.4)
    where, piped = console(terminal=True), console()
    bar = Bar(where)
    bar.begin(10, 90)
    bar.repeated(0)
    bar.repeated(2)
    bar.looked(tally)
    bar.advanced(1, 75)
    bar.end()
    assert "14 of 22 decided after session 5; about 90 s left" in text(where)
    assert "1:15 left, 2 repeated" in text(where)
    progress(piped, quiet=False).looked(msgspec.structs.replace(tally, decided=22))
    assert text(piped) == "· 22 of 22 decided after session 5\n"


def test_the_watch_fits_the_place():
    assert isinstance(progress(console(terminal=True), quiet=False), Bar)
    assert isinstance(progress(console(), quiet=False), Lines)
    assert type(progress(console(terminal=True), quiet=True)) is Observer


def test_a_verdict_is_one_row_with_its_interval():
    where = console()
    tables.verdicts(where, [VERDICT])
    assert "0.9987 [0.9912, 1.004]" in text(where)
    assert "supported" in text(where)


def test_what_was_not_measured_is_one_row_a_claim_and_arm():
    gaps = [
        msgspec.structs.replace(
            VERDICT, metric=metric, verdict="not measured", estimate=None, notes=("no fio [1]",)
        )
        for metric in ("cpu.float", "cpu.crypto")
    ]
    where = console()
    tables.verdicts(where, gaps)
    assert "2 rows" in text(where)
    assert "no fio [1]; cpu.float, cpu.crypto" in text(where)


def test_gaps_with_one_reason_are_one_row():
    where = console()
    tables.not_measured(
        where, [NotMeasured(arm="crun", metric=name, reason="no bridge") for name in ("a", "b")]
    )
    assert "crun" in text(where)
    assert "no bridge" in text(where)
    assert "a, b" in text(where)
