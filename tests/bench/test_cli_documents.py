"""What verbs print with `--json` is as the schemas say, and the page of commands names a schema for each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

from bench import schema
from bench.cli import ahead, app, tuning
from bench.cli.dependencies import Dependencies, use
from bench.host.tuning import Tuner
from bench.testing import fake_backends, fake_image, fake_scenarios
from tests.bench.compare.made import drawn, write
from tests.bench.foreign.foreign_samples import samples
from tests.paths import REPOSITORY

SCHEMAS = schema.documents()


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch, undrawn):
    """A machine of fakes with a setting to tune, in an empty directory."""
    (tmp_path / "host/proc/sys/vm").mkdir(parents=True)
    (tmp_path / "host/proc/sys/vm/swappiness").write_text("60\n")
    monkeypatch.setattr(tuning, "tuner", lambda cpus=(): Tuner(tmp_path / "host", cpus))
    monkeypatch.setattr(ahead, "host_checks", lambda cache, cpus: [])
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    use(Dependencies.fake(fake_backends(), fake_scenarios(), fake_image()))
    yield
    use(None)


def printed(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(one) for one in (*arguments, "--json")])
    return json.loads(result.stdout)


def check(name: str, found: Any) -> None:
    jsonschema.validate(found, json.loads(SCHEMAS[f"{name}.json"]))


def test_a_run_is_the_same_document_for_each_verb_that_shows_it():
    run = printed("run", "--profile", "smoke", "--seed", 3, "--out", "run")
    check("json-run", run)
    assert (run["directory"], run["report"], run["seed"]) == ("run", "run/report.html", 3)
    for verb in ("show", "judge"):
        assert printed(verb, "run") == run
    Path("run/report.html").unlink()
    assert printed("show", "run") == run | {"report": None}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("json-dry-run", ["run", "--dry-run", "--families", "cpu"]),
        ("json-doctor", ["doctor", "--quick"]),
        ("json-list", ["list"]),
        ("json-tune-show", ["tune", "--show"]),
        ("json-tune", ["tune"]),
        ("json-tune", ["untune"]),
    ],
)
def test_what_a_verb_prints_satisfies_its_schema(name: str, arguments: list[str]):
    check(name, printed(*arguments))


@pytest.mark.slow
def test_a_doctor_that_measured_satisfies_its_schema():
    found = printed("doctor", "--seconds", "1")
    check("json-doctor", found)
    assert found["forecast"]["metrics"]


def test_one_list_is_a_part_of_all_lists():
    assert printed("run", "--profile", "smoke", "--out", "results/a")
    lists = printed("list")
    check("json-list", lists)
    assert [one["run"] for one in lists["runs"]] == ["results/a"]
    for name, rows in lists.items():
        assert printed("list", name) == rows


def test_a_comparison_and_none_at_all_satisfy_one_schema():
    write(Path("old"), drawn(seed=1))
    write(Path("new"), drawn(seed=2))
    found = printed("compare", "old", "new")
    check("json-compare", found)
    assert (found["gate"], found["reason"], found["again"]) == (False, "", None)
    broken = printed("compare", "old", "nowhere")
    check("json-compare", broken)
    assert (broken["answer"], broken["status"], broken["old"]) == ("broken", 3, None)


def test_foreign_samples_give_the_list_of_verdicts():
    samples().to_csv("samples.csv", index=False)
    check("verdicts", printed("judge", "samples.csv"))


def test_the_page_names_a_schema_for_each_verb_with_json():
    page = (REPOSITORY / "docs" / "cli.md").read_text().partition("### For scripts")[2].partition("\n## ")[0]
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with_json = {name for name, one in verbs.items() if any("--json" in each.opts for each in one.params)}
    shown = set(re.findall(r"`([a-z]+)\b", page.partition("|---|")[2]))
    assert with_json <= shown
    linked = set(re.findall(r"\]\(schema/(json-[a-z-]+\.json)\)", page))
    assert linked == {name for name in SCHEMAS if name.startswith("json-")}
