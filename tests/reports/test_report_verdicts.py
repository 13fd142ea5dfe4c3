from __future__ import annotations

import msgspec
import pandas as pd

from bench import claims
from reports import controls, headline, verdicts
from reports.load import Evidence
from tests.reports import synthetic
from tests.reports.made_verdicts import evidence_of, sped, verdict


def test_the_headline_names_the_machine_the_day_and_the_accelerator(evidence: Evidence) -> None:
    said = headline.banner(evidence).conditions

    for part in ("24 November 2026", "Example CPU", "Linux 6.18.0", "VM (emulated, TCG)"):
        assert part in said


def test_the_conditions_count_the_sessions_that_were_run(evidence: Evidence) -> None:
    found = headline.conditions(evidence_of(evidence=evidence, sessions_run=4))

    assert "4 sessions of fresh instances" in found


def test_a_system_that_was_not_there_is_named_once_a_claim(evidence: Evidence) -> None:
    view = next(view for view in verdicts.claim_views(evidence) if view.id == "performance")

    assert set(view.absent) == {"VM (KVM)", "docker"}
    assert "VM (emulated, TCG)" in [opinion.system for opinion in view.opinions]


def test_stress_rows_come_after_primary_ones(evidence: Evidence) -> None:
    view = next(view for view in verdicts.claim_views(evidence) if view.id == "performance")
    roles = [row.role for row in view.opinions[0].rows]

    assert roles == sorted(roles, key=["primary", "stress"].index)


def test_no_samples_at_all_still_have_arms(evidence: Evidence) -> None:
    empty = msgspec.structs.replace(evidence, samples=pd.DataFrame(evidence.samples.iloc[:0]))

    assert empty.arms == synthetic.ARMS


def rows_of(found: headline.Banner) -> dict[str, headline.Row]:
    assert found.matrix is not None
    return {row.claim: row for row in found.matrix.rows}


def test_the_matrix_has_a_cell_for_every_sentence_and_system(evidence: Evidence) -> None:
    found = headline.banner(evidence)
    assert found.matrix is not None
    assert found.matrix.systems == (
        "container (ours)",
        "host once more, as if a system",
        "crun",
        "VM (emulated, TCG)",
    )
    cells = rows_of(found)["performance"].cells

    assert [cell.state if cell else "" for cell in cells] == ["refuted", "inconclusive", "refuted", "refuted"]
    assert cells[0] is not None
    assert cells[0].what.startswith("CPU time per GiB sent, NAT; ")
    assert rows_of(found)["start.vs_vm"].cells[3] is None
    assert rows_of(found)["image.immutable"].whole is not None


def test_what_was_not_asked_is_no_row_and_is_named(evidence: Evidence) -> None:
    found = headline.banner(evidence).matrix

    assert found is not None
    assert "same output everywhere" in found.not_asked
    assert found.not_measured == ("no disturbance by neighbours",)
    assert set(found.absent) == {"VM (KVM)", "docker"}
    assert not {row.claim for row in found.rows} & {"image.portable", "isolation", "transfer"}


def test_an_invalid_run_has_no_matrix(evidence: Evidence) -> None:
    failed = verdict("control.aa", "joint", "refuted", arm="host-b", notes=("p = 0.0001",))
    spoiled = evidence_of(failed, *sped("supported"), evidence=evidence)

    assert headline.banner(spoiled).matrix is None
    assert controls.controls(spoiled).negative.word == "failed"


def test_sentences_that_were_measured_are_shown_in_the_order_of_the_file(evidence: Evidence) -> None:
    shown = [view.id for view in verdicts.claim_views(evidence)]

    assert shown == [claim.id for claim in claims.load().claim if claim.id in shown]
    assert {"performance", "image.immutable"} <= set(shown)
    assert "isolation" not in shown


def test_the_finding_is_the_worst_number_with_its_own_interval(evidence: Evidence) -> None:
    joint = verdict("performance", "*", "refuted", estimate=0.83, low=0.8, high=0.97)
    worst = verdict("performance", "network.cpu_per_gib.nat", "refuted", estimate=0.83, low=0.8, high=0.86)
    fine = verdict("performance", "cpu.integer", "supported")
    (view,) = verdicts.claim_views(evidence_of(joint, worst, fine, evidence=evidence))

    finding = view.opinions[0].finding.replace("\u00a0", " ")
    assert finding == "worst, CPU time per GiB sent, NAT: 83.0 % (80.0 to 86.0 %)"
    assert "bounds that hold for all at once" in view.opinions[0].rows[0].words
