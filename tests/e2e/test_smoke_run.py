"""One real smoke run of host, container and VM: what it has to leave is what later tools rely on."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import msgspec
import pyarrow.parquet as pq
import pytest

from bench import schema
from bench.backends.registry import BACKENDS
from bench.cli import setup
from bench.model import Plan, Run
from bench.plan import make_plan
from bench.profiles import profile
from bench.scenarios.registry import METRICS, SCENARIOS
from bench.testing import fake_image
from tests.e2e.real_runs import Finished

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

COLUMNS = (
    "run session block order scenario arm metric unit better value start_ns duration_ns "
    "valid set_aside reason stall_share steal_share frequency_mhz switches busy_s take"
)
VERDICT = (
    "claim metric arm baseline estimate low high margin alpha n_sessions n_pairs verdict notes emulated "
    "pairing out_of_reach minutes"
)
FAMILIES = ("startup", "cpu", "memory", "network", "disk")


@pytest.fixture(scope="module")
def run(smoke: Finished) -> Run:
    assert smoke.status == 0, smoke.stderr
    return msgspec.json.decode((smoke.directory / "run.json").read_bytes(), type=Run)


def test_the_files_are_there(smoke: Finished, run: Run) -> None:
    names = {path.name for path in smoke.directory.iterdir()}
    assert names == {"run.json", "samples.parquet", "verdicts.json", "report.html", "log"}
    assert run.status == "complete"


def test_run_json_satisfies_its_schema(smoke: Finished, run: Run) -> None:
    document = json.loads((smoke.directory / "run.json").read_bytes())
    jsonschema.validate(document, json.loads((schema.DIRECTORY / "run.json").read_bytes()))
    assert document["plan"]["seed"] == 7
    for named in ("kernel", "mitigations", "cgroup_layout"):
        assert document["host"][named], named


def test_the_image_has_layers_and_ended_unchanged(run: Run) -> None:
    assert run.image is not None
    assert len(run.image.layers) >= 2
    assert run.image.digest == run.image.digest_after


def test_the_accelerator_is_part_of_the_backends_name(run: Run) -> None:
    guest = next(info for info in run.backends if info.name.startswith("vm-"))
    assert guest.name == f"vm-{guest.accelerator}"


def test_samples_have_the_promised_columns_and_known_metrics(smoke: Finished, run: Run) -> None:
    table = pq.read_table(smoke.directory / "samples.parquet")
    assert table.column_names == COLUMNS.split()
    assert set(table["metric"].to_pylist()) <= set(METRICS)
    assert set(table["run"].to_pylist()) == {run.id}
    assert {"host", "host-b", "runtime"} <= set(table["arm"].to_pylist())


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_is_missing_without_a_reason(smoke: Finished, run: Run, family: str) -> None:
    rows = pq.read_table(smoke.directory / "samples.parquet").to_pylist()
    measured = {row["arm"] for row in rows if row["valid"] and row["metric"].startswith(f"{family}.")}
    excused = {gap.arm for gap in run.not_measured if gap.reason and gap.metric.startswith(f"{family}.")}
    for arm in (arm for arm in run.plan.arms if arm.role != "positive"):  # it does more of slices alone
        assert arm.name in measured | excused, f"{arm.name} has no {family}"
    assert {"host", "runtime", "nnd"} <= measured


def test_verdicts_are_a_list_with_the_contracts_keys_and_none_is_given(smoke: Finished, run: Run) -> None:
    document = json.loads((smoke.directory / "verdicts.json").read_bytes())
    jsonschema.validate(document, json.loads((schema.DIRECTORY / "verdicts.json").read_bytes()))
    assert {tuple(row) for row in document} == {tuple(VERDICT.split())}
    assert {row["verdict"] for row in document} <= {"inconclusive", "not measured"}
    assert {"runtime", next(a.name for a in run.plan.arms if a.backend == "vm")} <= {
        row["arm"] for row in document
    }


def test_json_is_one_document_about_the_same_run(smoke: Finished, run: Run) -> None:
    document = json.loads(smoke.stdout)
    assert (document["run"], document["seed"], document["status"]) == (run.id, 7, "complete")
    assert document["verdicts"] == json.loads((smoke.directory / "verdicts.json").read_bytes())


def planned_again(plan: Plan, seed: int, tmp_path: Path) -> Plan:
    """The plan of the same arms, made anew as `run` makes it."""
    stage = setup.Stage(
        arms=plan.arms,
        backends={arm.name: BACKENDS[arm.backend](tmp_path) for arm in plan.arms},
        infos=(),
        image=fake_image(),
        scratch=tmp_path,
        registries=tmp_path,
        missing=[],
    )
    chosen = profile(plan.profile)
    excluded, _ = setup.exclusions(stage, SCENARIOS, plan.cpus, chosen)
    return make_plan(
        chosen, seed, plan.arms, SCENARIOS, cpus=plan.cpus, excluded=excluded, prices=plan.prices
    )


def test_the_same_seed_gives_the_same_plan(run: Run, tmp_path: Path) -> None:
    assert planned_again(run.plan, 7, tmp_path) == run.plan
    assert planned_again(run.plan, 8, tmp_path).steps != run.plan.steps


class Loads(HTMLParser):
    """Collects what a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            loads = name in ("src", "srcset", "poster", "data") or (tag == "link" and name == "href")
            if loads and value and not value.startswith(("data:", "#")):
                self.found.append(f"<{tag} {name}={value[:80]}>")


def test_the_report_is_one_small_file_that_loads_nothing(smoke: Finished) -> None:
    data = (smoke.directory / "report.html").read_bytes()
    assert 100_000 < len(data) < 4 << 20
    page = Loads()
    page.feed(data.decode())
    assert page.found == []
