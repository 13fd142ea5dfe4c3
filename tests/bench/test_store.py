"""A results directory loses nothing: cut at any byte it is read from what is left, or says what to do."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import history, journal, store
from bench.journal import ClosedLine, DropLine, Journal, NoteLine, RunLine, StartLine, StoreError
from bench.model import ArmPlan, Closed, Plan, Sample, Verdict
from bench.testing import fake_run


def sample(order: int = 0, value: float | None = 1.5, **changes: object) -> Sample:
    fields: dict[str, object] = {
        "run": "r",
        "session": 0,
        "block": 0,
        "order": order,
        "scenario": "cpu.integer",
        "arm": "host",
        "metric": "cpu.integer",
        "unit": "1/s",
        "better": "higher",
        "value": value,
        "start_ns": 10,
        "duration_ns": 5,
    }
    return Sample(**(fields | changes))


PLAN = Plan(
    profile="quick",
    seed=2**63,
    arms=(ArmPlan(name="host", backend="host", kind="host", role="baseline"),),
    scenarios=("cpu.integer",),
    metrics=(),
    sessions=1,
    steps=(),
    cpus=(0,),
    budget_s=1.0,
)
PLANNED, ENDED = fake_run(PLAN), fake_run(PLAN, "complete")


VERDICT = Verdict(
    claim="performance",
    metric="cpu.integer",
    arm="runtime",
    baseline="host",
    estimate=1.0,
    low=0.99,
    high=1.01,
    margin=0.99,
    alpha=0.05,
    n_sessions=5,
    n_pairs=50,
    verdict="supported",
    notes=("one", "two; three"),
)


@pytest.fixture
def complete(tmp_path: Path) -> Path:
    """A closed run of three samples, one of them without a value."""
    directory = tmp_path / "results" / "run"
    store.create(directory)
    with Journal(directory / journal.NAME) as book:
        book.append(RunLine(run=PLANNED))
        book.step(0, [sample(0)])
        book.step(1, [sample(1, None, valid=False, set_aside="failed", reason="no fio")])
        book.append(NoteLine(text="a note with a line\nbreak"))
        book.step(2, [sample(2)])
        book.append(RunLine(run=ENDED))
    store.close(directory, ENDED)
    store.write_verdicts(directory, [VERDICT])
    return directory


def test_parquet_has_exactly_the_promised_columns(complete):
    promised = (
        "run session block order scenario arm metric unit better value start_ns duration_ns valid set_aside "
        "reason stall_share steal_share frequency_mhz switches busy_s take"
    )
    assert pq.read_schema(complete / store.SAMPLES).names == promised.split()


def test_what_was_written_is_read(complete):
    loaded = store.load(complete)
    assert loaded.run == ENDED
    assert list(loaded.samples["value"].fillna(-1)) == [1.5, -1, 1.5]
    assert list(loaded.samples["reason"]) == ["", "no fio", ""]
    assert not loaded.recovered
    assert store.load_verdicts(complete) == [VERDICT]


def cuts(path: Path) -> list[int]:
    size = path.stat().st_size
    return sorted({0, 1, size // 3, size // 2, size - 2, size - 1} | set(range(0, size, max(1, size // 40))))


@pytest.mark.parametrize("name", [store.RUN, store.SAMPLES])
def test_a_file_cut_anywhere_is_made_again_from_the_journal(complete, name):
    whole, expected = (complete / name).read_bytes(), store.load(complete)
    for size in cuts(complete / name)[:-1]:
        (complete / name).write_bytes(whole[:size])
        loaded = store.load(complete)
        assert loaded.run == expected.run
        assert loaded.samples.equals(expected.samples)
        assert name in loaded.recovered[0], size
        assert (complete / name).read_bytes() == whole[:size], "reading changes nothing"


@pytest.mark.parametrize("name", [store.RUN, store.SAMPLES])
def test_a_file_cut_together_with_the_journal_names_both(complete, name):
    os.truncate(complete / name, 20)
    (complete / journal.NAME).write_bytes(b"")
    with pytest.raises(StoreError, match=rf"/{name}: .*/journal\.jsonl: "):
        store.load(complete)


def test_a_cut_journal_does_not_make_a_complete_run_smaller(complete):
    size = (complete / journal.NAME).stat().st_size
    os.truncate(complete / journal.NAME, size - 10)
    loaded = store.load(complete)
    assert len(loaded.samples) == 3
    assert "journal.jsonl: cut off or damaged; samples.parquet has all samples" in loaded.recovered[0]
    os.truncate(complete / store.SAMPLES, 20)
    with pytest.raises(StoreError, match=r"/samples\.parquet: .*/journal\.jsonl .*\b\d samples\b"):
        store.load(complete)


@pytest.mark.parametrize("name", [store.RUN, store.SAMPLES, str(journal.NAME)])
def test_repair_makes_a_cut_file_whole_and_keeps_the_cut_one(complete, name):
    expected = store.load(complete)
    os.truncate(complete / name, 150)
    cut = (complete / name).read_bytes()
    store.repair(store.load(complete))
    again = store.load(complete)
    assert not again.recovered
    assert again.run == expected.run
    assert again.samples.equals(expected.samples)
    assert (complete / "log" / f"damaged-{Path(name).name}").read_bytes() == cut


def test_cut_verdicts_name_the_command_that_makes_them_again(complete):
    whole = (complete / store.VERDICTS).read_bytes()
    for size in cuts(complete / store.VERDICTS)[:-2]:
        (complete / store.VERDICTS).write_bytes(whole[:size])
        with pytest.raises(StoreError, match=r"verdicts\.json: .*ninetynine judge"):
            store.load_verdicts(complete)


@settings(deadline=None)
@given(st.data())
def test_a_journal_cut_at_any_byte_keeps_every_whole_step(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / journal.NAME
    with Journal(path) as book:
        book.append(RunLine(run=PLANNED))
        for order in range(4):
            book.step(order, [sample(order), sample(order, metric="other")])
    whole = path.read_bytes()
    size = data.draw(st.integers(whole.index(b"\n") + 1, len(whole)))
    path.write_bytes(whole[:size])
    contents = journal.read(path)
    steps = whole[:size].count(b"\n") - 1
    assert contents.done == set(range(steps))
    assert len(contents.samples) == 2 * steps


def test_writing_goes_on_behind_a_torn_tail_and_keeps_it(complete):
    path = complete / journal.NAME
    with path.open("ab") as file:
        file.write(b'{"type":"step","ord')
    with Journal(path) as book:
        book.step(7, [sample(7)])
    assert journal.read(path).done == {0, 1, 2, 7}
    assert (complete / "log" / "torn-0.bin").read_bytes() == b'{"type":"step","ord'


def test_looks_and_the_time_spent_are_read_back(complete):
    path = complete / journal.NAME
    closed = (Closed(scenario="cpu.integer", arm="runtime", sessions=5),)
    with Journal(path) as book:
        book.step(3, [sample(3)], 0.5, 12.0)
        book.append(ClosedLine(sessions=5, closed=closed))
        book.append(ClosedLine(sessions=6, closed=()))
        book.append(DropLine(orders=(4, 5), reason="decided after session 5"))
    found = journal.read(path)
    assert (found.looked, found.closed) == ((5, 6), closed)
    assert (found.elapsed, found.seconds) == (12.0, {3: 0.5})
    assert found.settled == {0, 1, 2, 3, 4, 5}


def test_a_journal_of_an_older_version_is_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as book:
        book.append(RunLine(run=PLANNED))
        book.step(0, [sample(0)])
        book.append(StartLine(session=0, group="g", arm="host", seconds=2.0))
    with path.open("ab") as file:
        file.write(
            b'{"type":"step","order":1,"samples":[],"seconds":1.5,"stall_share":0.1,"steal_share":null}\n'
        )
    found = journal.read(path)
    assert (found.done, found.elapsed, found.looked, found.closed) == ({0, 1}, 3.5, (), ())


def test_a_journal_made_again_keeps_what_looks_closed(complete):
    closed = tuple(
        Closed(scenario=name, arm="runtime", sessions=sessions) for name, sessions in [("a", 5), ("b", 7)]
    )
    run = msgspec.structs.replace(ENDED, closed=closed, sessions_run=7)
    path = complete / "again.jsonl"
    path.write_bytes(journal.encoded(run, [sample(0)]))
    found = journal.read(path)
    assert (found.run, found.ended, found.closed, found.looked) == (run, True, closed, (5, 7))


def test_a_line_broken_inside_the_journal_is_named_by_its_byte(complete):
    path = complete / journal.NAME
    data = path.read_bytes()
    at = data.index(b"\n") + 1
    path.write_bytes(data[:at] + b"#" + data[at + 1 :])
    with pytest.raises(StoreError, match=rf"journal\.jsonl: .*\b{at}\b"):
        journal.read(path)


def test_two_processes_cannot_write_one_run(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(StoreError, match=f"^{tmp_path / 'j'}: "):
        Journal(tmp_path / "j")


def test_a_run_is_not_put_over_another(complete):
    with pytest.raises(StoreError, match=f"--resume {complete}"):
        store.create(complete)


def test_a_run_is_not_put_among_foreign_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        store.create(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_an_unknown_major_schema_is_refused(complete):
    data = msgspec.json.decode((complete / store.RUN).read_bytes())
    (complete / store.RUN).write_bytes(msgspec.json.encode(data | {"schema": "2.0"}))
    with pytest.raises(StoreError, match=r"'2\.0'"):
        store.load(complete)


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"/nowhere: .*`ninetynine list runs`"):
        store.load(tmp_path / "nowhere")


@contextlib.contextmanager
def tiny_disk(where: Path, kib: int):
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "nn-test", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_a_clear_error_and_keeps_what_is_there(tmp_path, complete):
    with tiny_disk(tmp_path / "disk", 64) as disk:
        shutil.copytree(complete, disk / "run")
        full = pytest.raises(StoreError, match=r"No space left on device.*`ninetynine run --resume")
        with Journal(disk / "run" / journal.NAME) as book, full:
            for order in range(3, 3000):
                book.step(order, [sample(order)])
        contents = journal.read(disk / "run" / journal.NAME)
        assert contents.torn == 0
        assert contents.done == set(range(max(contents.done) + 1))
        before = (disk / "run" / store.RUN).read_bytes()
        with pytest.raises(StoreError, match="No space left"):
            store.write_run(disk / "run", msgspec.structs.replace(PLANNED, notes=("x" * 100_000,)))
        assert (disk / "run" / store.RUN).read_bytes() == before
        assert not list((disk / "run").glob(".*.tmp"))


def test_history_sees_all_runs_and_names_the_broken_ones(complete):
    broken = complete.parent / "broken"
    (broken / "log").mkdir(parents=True)
    (broken / store.RUN).write_text("{")
    found = history.connect(complete.parent)
    assert found.sql("SELECT run, status, seed FROM runs").fetchall() == [(PLANNED.id, "complete", 2**63)]
    assert found.sql("SELECT count(*), sum(valid::int) FROM samples").fetchall() == [(3, 2)]
    assert found.sql("SELECT run, verdict, estimate, notes, emulated FROM verdicts").fetchall() == [
        (PLANNED.id, "supported", 1.0, ["one", "two; three"], False)
    ]
    assert "run.json: cut off" in found.sql("SELECT reason FROM unreadable").fetchall()[0][0]


def test_history_of_nothing_is_empty(tmp_path):
    assert history.connect(tmp_path / "none").sql("SELECT count(*) FROM samples").fetchall() == [(0,)]
