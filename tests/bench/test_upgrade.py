"""Results of older versions of the schema are read, judged, shown, compared and resumed as they were."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bench import history, journal, store, upgrade
from bench.cli import app
from bench.cli.concluding import judged
from bench.cli.dependencies import Dependencies, use
from bench.model import ALL, SCHEMA_VERSION
from bench.testing import FakeBackend, FakeScenario, fake_host, fake_image

STORED = Path(__file__).parent / "stored"
NAMES = ("schema-1.0", "schema-1.1", "schema-1.1-interrupted")
NUMBERS = ("estimate", "low", "high", "margin", "alpha", "n_sessions", "n_pairs")


@pytest.fixture(params=NAMES)
def old(request, tmp_path) -> Path:
    """A copy of a stored run."""
    return Path(shutil.copytree(STORED / request.param, tmp_path / request.param))


@pytest.fixture
def newer(tmp_path) -> Path:
    """A copy of the stored run with everything that 1.2 made a field of."""
    return Path(shutil.copytree(STORED / "schema-1.1", tmp_path / "run"))


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_an_old_run_is_read_whole(old):
    loaded = store.load(old)
    assert loaded.run.schema == SCHEMA_VERSION
    assert loaded.recovered == ()
    assert tuple(loaded.samples.columns) == store.COLUMNS
    assert set(loaded.samples["arm"]) == set(loaded.run.plan.arm)
    kinds = {arm.name: (arm.kind, arm.emulated) for arm in loaded.run.plan.arms}
    known = {"host": ("host", False), "runtime": ("container", False), "vm-tcg": ("vm", True)}
    copies = {"host-b": ("host", False), "host-2pct": ("host", False), "runtime-b": ("container", False)}
    assert known.items() <= kinds.items() <= (known | copies).items()
    plan = loaded.run.plan
    assert all(plan.arm[original].kind == kinds[copy][0] for copy, original in plan.copies)
    assert [gap.arm for gap in loaded.run.not_measured] == ["docker"]


def test_its_journal_has_the_same_samples(old):
    whole = store.load(old).samples
    (old / store.SAMPLES).unlink()
    again = store.load(old)
    assert again.recovered
    by_order = ["order", "take"]
    left, right = (one.sort_values(by_order, ignore_index=True) for one in (whole, again.samples))
    assert left.equals(right)


def test_its_verdicts_are_those_of_the_version_that_wrote_it(old):
    before = {
        (row["claim"], row["metric"], row["backend"], row["baseline"]): row
        for row in json.loads((old / store.VERDICTS).read_bytes())
    }
    waited = "4 pairs, a verdict needs at least 5"  # as many as sessions are enough by now
    sooner = {(row["claim"], row["backend"]) for row in before.values() if waited in row["reason"]}
    for rows in (store.load_verdicts(old), judged(store.load(old)), store.load_verdicts(old)):
        assert {(row.claim, row.metric, row.arm, row.baseline) for row in rows} == set(before)
        for row in rows:
            known = before[row.claim, row.metric, row.arm, row.baseline]
            if (row.claim, row.arm) not in sooner:
                assert row.verdict == known["verdict"], row
            if (row.claim, row.arm) not in sooner or row.metric != ALL:
                assert [getattr(row, name) for name in NUMBERS] == [known[name] for name in NUMBERS], row


def test_what_stood_in_names_and_texts_is_in_fields(newer):
    loaded = store.load(newer)
    assert loaded.run.ended_because == "last session"
    assert not [note for note in loaded.run.notes if note.startswith("ended")]
    assert Counter(loaded.samples["set_aside"]) == {"": 57, "pressure": 2, "failed": 1, "rejected": 1}
    assert set(loaded.samples["set_aside"][loaded.samples["valid"]]) == {""}
    failed = loaded.samples[loaded.samples["set_aside"] == "failed"]
    assert failed["value"].isna().all()
    rows = store.load_verdicts(newer)
    labelled = {row.arm for row in rows if row.emulated and row.baseline != "vm-tcg"}
    assert labelled == {"vm-tcg"}
    assert not any("emulated CPU" in note for row in rows for note in row.notes)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("all that decides a claim is decided, after session 6 of at most 8; 2 of 2 pairs …", "decided"),
        ("nothing that can still be measured is open, after session 5 of at most 8", "nothing left"),
        ("the time budget of 340 s was spent, after session 9 of at most 16", "budget"),
        ("interrupted after 3 whole sessions", "interrupted"),
        ("for a reason that nobody knows", None),
    ],
)
def test_what_ended_a_run_was_a_note(newer, text, because):
    document = json.loads((newer / store.RUN).read_bytes())
    notes = [f"ended: {one}" for one in ("interrupted after 1 whole sessions", text)]
    assert upgrade.run(document | {"notes": ["a note", *notes]}).ended_because == because
    assert upgrade.run(document | {"notes": ["a note", *notes]}).notes == ("a note",)


@pytest.mark.slow
def test_every_verb_reads_it(old, tmp_path):
    shown = invoke("show", old)
    assert shown.exit_code == 0, shown.output
    assert "run 20261201" in shown.stdout
    rows = json.loads(invoke("show", "--json", old).stdout)
    assert "arm" in json.dumps(rows)
    assert invoke("report", old).exit_code == 0
    assert "VM (emulated, TCG)" in (old / "report.html").read_text()
    assert invoke("judge", old).exit_code == 0
    assert {"notes", "emulated", "arm"} <= set(json.loads((old / store.VERDICTS).read_bytes())[0])
    assert invoke("judge", old / store.SAMPLES).exit_code == 0, "as samples of any origin"


def test_runs_of_both_versions_are_compared_and_listed(tmp_path):
    for name in NAMES:
        shutil.copytree(STORED / name, tmp_path / name)
    result = invoke("compare", "--json", tmp_path / "schema-1.0", tmp_path / "schema-1.1")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    rows = {(row["verdict"]["metric"], row["verdict"]["arm"]): row for row in rows}
    assert rows["cpu.integer", "runtime"]["state"] == "not worse"
    assert rows["cpu.integer", "runtime"]["verdict"]["estimate"] == pytest.approx(0.99943, abs=2e-3)
    found = history.connect(tmp_path)
    assert found.sql("SELECT count(*) FROM runs").fetchall() == [(3,)]
    aside = found.sql("SELECT arm, count(*) FROM samples WHERE set_aside = 'rejected' GROUP BY arm")
    assert aside.fetchall() == [("vm-tcg", 2)]
    marked = found.sql("SELECT bool_and(emulated) FROM verdicts WHERE arm = 'vm-tcg' AND n_pairs > 0")
    assert marked.fetchall() == [(True,)]
    assert found.sql("SELECT * FROM unreadable").fetchall() == []


@pytest.mark.parametrize("cut", [1, 20, 2000])
def test_a_cut_file_of_an_old_run_is_made_again(newer, cut):
    path = newer / store.SAMPLES
    path.write_bytes(path.read_bytes()[:-cut])
    assert store.load(newer).recovered
    store.repair(store.load(newer))
    whole = store.load(newer)
    assert not whole.recovered
    assert Counter(whole.samples["set_aside"]) == {"": 57, "pressure": 2, "failed": 1, "rejected": 1}


def test_an_interrupted_run_goes_on_in_its_old_journal(tmp_path, monkeypatch):
    where = Path(shutil.copytree(STORED / "schema-1.1-interrupted", tmp_path / "run"))
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.cli.execute.fingerprint", lambda cache: fake_host())
    scenarios = (
        FakeScenario("startup.first_instruction", "startup", kind="instance", better="lower", base=0.001),
        FakeScenario("cpu.integer", "cpu"),
    )
    backends = {
        "host": lambda root: FakeBackend("host"),
        "runtime": lambda root: FakeBackend("runtime", slowness=1.05),
        "vm": lambda root: FakeBackend("vm", slowness=5.0, final="vm-tcg"),
    }
    use(Dependencies.fake(backends, scenarios, fake_image()))
    try:
        result = invoke("run", "--resume", where)
    finally:
        use(None)
    assert result.exit_code == 0, result.output
    contents, loaded = journal.read(where / journal.NAME), store.load(where)
    planned = {step.order for step in loaded.run.plan.steps}
    assert contents.settled == planned
    counted = Counter((one.order, one.take, one.metric) for one in contents.samples)
    assert max(counted.values()) == 1
    assert (loaded.run.status, loaded.run.ended_because) != ("interrupted", "interrupted")
    assert not [note for note in loaded.run.notes if note.startswith("ended")]
    assert {sample.set_aside for sample in contents.samples} == {"", "pressure", "failed", "rejected"}
    kinds = [msgspec.json.decode(line)["type"] for line in (where / journal.NAME).read_bytes().splitlines()]
    assert kinds.count("run") == 4, "as planned, interrupted, resumed, ended"


def test_a_version_to_come_is_left_alone():
    assert not upgrade.is_old({"schema": SCHEMA_VERSION})
    assert not upgrade.is_old({"schema": "1.11"})
    assert upgrade.is_old({"schema": "1.1"})
