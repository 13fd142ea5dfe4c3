import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from bench.claims import Claim, ClaimsError, load
from bench.scenarios.registry import FAMILIES, METRICS
from tests.paths import REPOSITORY

DOCS = (REPOSITORY / "docs" / "claims.md").read_text()
CLAIMS = load()

GOOD = """
min_sessions = 4
[control]
arm = "host-b"
baseline = "host"
alpha = 0.01
margin = 0.99
[[claim]]
id = "one"
sentence = "It is as fast."
kind = "ratio"
primary = ["cpu.integer"]
margin = 0.99
refuted_when = "it is not"
"""


def read(tmp_path: Path, text: str) -> None:
    (tmp_path / "claims.toml").write_text(text)
    load(tmp_path / "claims.toml")


@pytest.mark.parametrize("claim", CLAIMS.claim, ids=lambda claim: claim.id)
def test_every_claim_is_documented_with_its_sentence(claim: Claim) -> None:
    assert f"## {claim.id}" in DOCS
    assert claim.sentence in DOCS


@pytest.mark.parametrize("claim", CLAIMS.claim, ids=lambda claim: claim.id)
def test_every_metric_a_claim_names_is_documented(claim: Claim) -> None:
    section = DOCS.split(f"## {claim.id}\n", 1)[1].split("\n## ", 1)[0]
    assert [name for name in (*claim.primary, *claim.stress) if f"`{name}`" not in section] == []


def test_the_seven_sentences_are_all_there() -> None:
    assert {claim.number for claim in CLAIMS.claim if claim.number} == set(range(1, 8))


def test_every_claim_says_what_would_refute_it_or_why_it_waits() -> None:
    assert all(claim.reason if claim.kind == "later" else claim.refuted_when for claim in CLAIMS.claim)


def test_every_margin_is_argued() -> None:
    assert [claim.id for claim in CLAIMS.claim if claim.margin is not None and not claim.why] == []


def test_a_primary_metric_is_never_a_stress_one() -> None:
    for claim in CLAIMS.claim:
        assert not set(claim.primary) & set(claim.stress)
        assert all(claim.role_of(metric) == "primary" for metric in claim.primary)


def test_measured_metrics_have_the_role_their_claims_give_them() -> None:
    for metric in METRICS.values():
        roles = {claim.role_of(metric.name) for claim in CLAIMS.of_metric(metric.name)}
        assert metric.role == "info" or metric.role in roles, metric.name


def test_every_primary_metric_is_measured_by_a_scenario() -> None:
    named = {metric for claim in CLAIMS.claim for metric in claim.primary if metric.split(".")[0] in FAMILIES}
    assert named - set(METRICS) == set()


def test_clocks_are_compared_on_metrics_that_are_measured_and_by_host_time_make_sense() -> None:
    for pattern in CLAIMS.clock.fixed_work:
        found = [metric for name, metric in METRICS.items() if fnmatchcase(name, pattern)]
        assert found, pattern
        assert all(metric.unit.endswith("/s") and metric.better == "higher" for metric in found)
        assert f"`{pattern}`" in DOCS


def test_every_copy_in_the_controls_is_of_something_else() -> None:
    pairs = CLAIMS.control.pairs
    assert pairs == (("host-b", "host"), ("runtime-b", "runtime"))


def test_the_positive_control_is_slower_than_the_margin_of_the_claims_it_speaks_for() -> None:
    slower = 1 / (1 + CLAIMS.positive.extra)
    ratios = [
        claim.margin for claim in CLAIMS.claim if claim.baselines == ("host",) and claim.kind == "ratio"
    ]
    assert ratios
    assert all(slower < margin for margin in ratios)


def test_a_virtual_machine_is_spared_the_network_mode_it_cannot_have() -> None:
    claim = next(claim for claim in CLAIMS.claim if claim.id == "performance")
    assert "network.throughput.host" in claim.required("container")
    assert "network.throughput.host" not in claim.required("vm")


def test_claims_of_a_metric_come_in_the_order_of_the_file() -> None:
    assert [claim.id for claim in CLAIMS.of_metric("memory.per_instance")] == ["memory.vs_vm"]
    assert CLAIMS.of_metric("no.such.metric") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("margin = 0.99\nrefuted", "refuted", r"claim one: .*\bmargin"),
        ('primary = ["cpu.integer"]', "", r"claim one: .*\bmetric"),
        (
            "margin = 0.99\nrefuted",
            "margin = -1.0\nrefuted",
            r"claim one: .*\bmargin",
        ),
        ('kind = "ratio"', 'kind = "quantile"', r"claim one: .*\bquantile"),
        ('refuted_when = "it is not"', "", r"claim one: .*\brefute"),
        ('refuted_when = "it is not"', 'refuted_when = "x"\nalpha = 0.7', r"claim one: .*\balpha"),
        ('kind = "ratio"', 'kind = "guess"', "Invalid enum value 'guess'"),
        ("margin = 0.99\nrefuted", "margn = 0.99\nrefuted", "unknown field `margn`"),
        ("[[claim]]", "[positive]\nextra = 0.005\n[[claim]]", r"controls: .*\b0\.005\b"),
        ("alpha = 0.01", "alpha = 1.0", r"controls: .*\balpha"),
        (
            "[[claim]]",
            "[clock]\ntolerance = 1.0\n[[claim]]",
            r"controls: .*\bclocks",
        ),
    ],
)
def test_a_faulty_file_is_refused_with_the_fault(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ClaimsError, match=message):
        read(tmp_path, GOOD.replace(old, new))


def test_the_file_those_faults_were_put_into_is_good(tmp_path: Path) -> None:
    read(tmp_path, GOOD)


def test_two_claims_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match=r"\bclaim one\b"):
        read(tmp_path, GOOD + GOOD[GOOD.index("[[claim]]") :])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match=re.escape(str(tmp_path / "none.toml"))):
        load(tmp_path / "none.toml")
