import re

import msgspec

from bench.cli.names import scenarios
from bench.scenarios.registry import FAMILIES, METRICS, SCENARIOS
from tests.paths import REPOSITORY

DOCS = REPOSITORY / "docs" / "metrics.md"


def test_the_families_and_the_checks_are_there():
    assert FAMILIES == ("startup", "cpu", "memory", "network", "disk", "engine", "image", "check")


def test_checks_come_along_where_programs_report_their_own_figures():
    assert {scenario.family for scenario in scenarios("cpu,disk", SCENARIOS)} == {"cpu", "disk", "check"}
    assert {scenario.family for scenario in scenarios("startup", SCENARIOS)} == {"startup"}


def test_names_are_unique_and_dotted():
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)+", name) for name in [*names, *METRICS])


def test_a_metric_has_one_home_and_begins_with_its_family():
    homes = [(metric.name, scenario.family) for scenario in SCENARIOS for metric in scenario.metrics]
    assert len({name for name, _ in homes}) == len(homes)
    assert all(name.startswith(family + ".") for name, family in homes)


def test_definitions_are_sentences():
    assert all(len(m.definition) > 40 and m.definition.endswith(".") for m in METRICS.values())


def test_one_block_on_the_host_is_short():
    assert sum(each.cost_s / each.every_nth_block for each in SCENARIOS) < 5
    assert max(each.cost_s for each in SCENARIOS) <= 1


def test_specs_are_few_so_that_a_session_starts_few_instances():
    specs = {msgspec.json.encode(s.spec, enc_hook=str) for s in SCENARIOS if s.kind == "slice"}
    assert len(specs) == 4


def documented():
    rows = re.findall(
        r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \| (.*) \|$", DOCS.read_text(), re.MULTILINE
    )
    return {name: tuple(cells) for name, *cells in rows}


def test_every_metric_is_documented_as_it_is():
    assert documented() == {m.name: (m.unit, m.better, m.role, m.definition) for m in METRICS.values()}
