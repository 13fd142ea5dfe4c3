from __future__ import annotations

import msgspec
import pandas as pd
import pytest

from bench import claims, model
from reports import controls, headline, verdicts
from reports.load import Evidence
from tests.reports import synthetic
from tests.reports.made_verdicts import beside, evidence_of, sped, started, verdict


@pytest.mark.parametrize(
    ("start", "speed", "said"),
    [
        ("supported", "supported", "A container started its program in 1.10 milliseconds (median) and it"),
        ("supported", "refuted", "network performance: 83.0 % at worst (CPU time per GiB sent, NAT)"),
        ("supported", "inconclusive", "(median); whether it gives 99 % of the host's"),
        ("inconclusive", "inconclusive", "could settle neither whether a container starts within"),
    ],
)  # fmt: skip
def test_the_headline_says_what_was_found(
    evidence: Evidence, start: model.State, speed: model.State, said: str
) -> None:
    found = headline.banner(evidence_of(*started(start), *sped(speed), evidence=evidence))

    assert said in found.sentence.replace("\u00a0", " ")


def test_what_is_said_of_the_host_once_more_is_not_said_of_a_container(evidence: Evidence) -> None:
    rows = [msgspec.structs.replace(row, arm="again") for row in (*started("supported"), *sped("supported"))]
    found = headline.banner(evidence_of(*rows, evidence=evidence))

    assert found.sentence.startswith(
        "The host, measured once more as if it were a system, started its program"
    )
    assert "container" not in found.sentence
    assert all(line.about == "host once more, as if a system" for line in found.lines)


def test_a_slow_start_is_said_with_its_time(evidence: Evidence) -> None:
    found = headline.banner(evidence_of(*started("refuted", 2.4), evidence=evidence))

    assert found.state == "refuted"
    assert "did not start within a second: half the starts took more than 2.40" in found.sentence


def test_the_headline_names_the_machine_the_day_and_the_accelerator(evidence: Evidence) -> None:
    said = headline.banner(evidence).conditions

    for part in ("24 November 2026", "Example CPU", "Linux 6.18.0", "VM (emulated, TCG)"):
        assert part in said


def test_the_conditions_count_the_sessions_that_were_run(evidence: Evidence) -> None:
    found = headline.conditions(evidence_of(evidence=evidence, sessions_run=4))

    assert "4 sessions of fresh instances" in found


def test_a_failed_control_takes_the_headline(evidence: Evidence) -> None:
    failed = verdict("control.aa", "joint", "refuted", arm="host-b", notes=("p = 0.0001",))
    spoiled = evidence_of(failed, *sped("supported"), evidence=evidence)

    assert "RUN INVALID: the negative control failed" in headline.banner(spoiled).sentence
    assert controls.controls(spoiled).negative.word == "failed"
    assert headline.banner(spoiled).lines == ()


def test_a_smoke_run_gives_no_verdict(evidence: Evidence) -> None:
    plan = msgspec.structs.replace(synthetic.run().plan, profile="smoke")

    assert "no verdict" in headline.banner(evidence_of(evidence=evidence, plan=plan)).sentence


def test_every_claim_of_the_file_is_shown(evidence: Evidence) -> None:
    shown = [view.id for view in verdicts.claim_views(evidence)]

    assert shown == [claim.id for claim in claims.load().claim]


def test_a_system_that_was_not_there_is_named_once_a_claim(evidence: Evidence) -> None:
    view = next(view for view in verdicts.claim_views(evidence) if view.id == "performance")

    assert set(view.absent) == {"VM (KVM)", "docker"}
    assert "VM (emulated, TCG)" in [opinion.system for opinion in view.opinions]


def test_metrics_that_stand_alone_are_tallied(evidence: Evidence) -> None:
    rows = (
        verdict("disk.io", "disk.seqread.layer", "supported"),
        verdict("disk.io", "disk.randread.layer", "refuted"),
    )
    (view,) = verdicts.claim_views(evidence_of(*rows, evidence=evidence))

    assert view.opinions[0].state == "refuted"
    assert view.opinions[0].tally == "1 supported, 1 refuted"
    assert "random reads" in view.opinions[0].finding


def test_an_open_interval_is_said_as_one_bound() -> None:
    row = verdict("startup.tail", "startup.first_instruction.p99", "inconclusive", low=0.9, high=None)

    assert verdicts.between(None, row).replace("\u00a0", " ") == "at least 90.0 %"


def test_stress_rows_come_after_primary_ones(evidence: Evidence) -> None:
    view = next(view for view in verdicts.claim_views(evidence) if view.id == "performance")
    roles = [row.role for row in view.opinions[0].rows]

    assert roles == sorted(roles, key=["primary", "stress"].index)


def test_no_samples_at_all_still_have_arms(evidence: Evidence) -> None:
    empty = msgspec.structs.replace(evidence, samples=pd.DataFrame(evidence.samples.iloc[:0]))

    assert empty.arms == synthetic.ARMS


def test_the_banner_has_a_line_for_each_claim_that_was_judged(evidence: Evidence) -> None:
    found = headline.banner(evidence)
    lines = {line.claim: line for line in found.lines}

    assert lines["performance"].state == "refuted"
    assert lines["image.immutable"].state == "supported"
    assert lines["start.vs_vm"].about == "container (ours) against VM (emulated, TCG)"
    measured = {row.claim for row in evidence.verdicts if row.verdict != "not measured"}
    assert found.unmeasured == sum(claim.id not in measured for claim in claims.load().claim)


@pytest.mark.parametrize(
    ("daemons", "state"), [("supported", "supported"), ("inconclusive", "supported"), ("refuted", "refuted")]
)
def test_the_headline_says_how_long_a_start_takes_through_the_daemon(
    evidence: Evidence, daemons: model.State, state: model.State
) -> None:
    rows = (*started(daemons, 0.0061), *sped(daemons))
    paced = msgspec.structs.replace(rows[1], metric="startup.first_instruction.paced.p50", estimate=0.012)
    ours = [msgspec.structs.replace(row, arm="nnd") for row in (*rows, paced)]
    rows = (*started("supported"), *sped("supported"), *ours)
    found = headline.banner(evidence_of(*rows, evidence=evidence, plan=beside("nnd")))

    assert "in 1.10 milliseconds (median; 6.10 milliseconds through nnd)" in (
        found.sentence.replace("\u00a0", " ")
    )
    assert found.state == state
    assert [(line.about, line.state) for line in found.lines if line.claim == "performance"] == [
        ("", "supported"),
        ("nnd (our daemon)", daemons),
    ]


def test_a_daemon_of_ours_speaks_for_the_runtime_in_the_banner(evidence: Evidence) -> None:
    row = verdict("transfer", "*", "supported", arm="nnd")
    record = msgspec.structs.replace(evidence.run, plan=beside("nnd"))
    more = msgspec.structs.replace(evidence, run=record, verdicts=(*evidence.verdicts, row))
    lines = {line.claim: line for line in headline.banner(more).lines}

    assert (lines["transfer"].state, lines["transfer"].about) == ("supported", "nnd (our daemon)")
