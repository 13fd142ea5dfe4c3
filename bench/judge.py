"""Samples and claims to verdicts: pure, deterministic, no I/O.

The statistics are in bench.stats, the parts of the judgement in bench.judging; this is the order they go in.
How to read a row: docs/claims.md. Why these methods: docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pandas as pd

from bench.claims import Claim, Claims
from bench.judging import missing
from bench.judging.comparisons import Evidence, comparisons
from bench.judging.control import CLAIM as CONTROL
from bench.judging.control import control_rows
from bench.judging.joint import joint_row
from bench.judging.pairs import SamplesError, collect
from bench.judging.rows import Gate, Judged, join, judge_one
from bench.model import ImageInfo, NotMeasured, Plan, Verdict

__all__ = ["SamplesError", "judge"]


def judge(
    samples: pd.DataFrame,
    claims: Claims,
    plan: Plan | None = None,
    not_measured: Sequence[NotMeasured] = (),
    image: ImageInfo | None = None,
) -> list[Verdict]:
    """All verdict rows of a run: the A/A control (its joint row first), then the claims in their order.

    `samples` has the columns of bench.model.Sample, rows in any order. `plan` gives the profile (smoke never
    gives a verdict), the arms, and which metrics are only shown (role info). Where the control failed or
    could not be judged, every other verdict is inconclusive and says so. Raises SamplesError.
    """
    evidence = Evidence(collect(samples))
    gate = Gate(min_sessions=claims.min_sessions, smoke=plan is not None and plan.profile == "smoke")
    shown_only = (
        frozenset(metric.name for metric in plan.metrics if metric.role == "info") if plan else frozenset()
    )
    control = control_rows(claims, evidence, gate, shown_only)
    gaps = missing.listed(claims, not_measured)
    own = _host_arms(claims, plan)
    arms = [name for name in _seen(evidence, plan) if name not in own]
    rows: list[Verdict] = []
    for claim in claims.claim:
        if claim.kind == "later":
            rows.append(missing.later(claim))
        elif claim.kind == "digest":
            rows.append(missing.digest(claim, image))
        else:
            rows += _claim_rows(claim, evidence, gate, shown_only | own, arms, gaps)
    rows += [row for row in gaps if row.claim in (missing.UNCLAIMED, CONTROL)]
    return [*control, *(rows if gate.smoke else _under_control(control[0], rows))]


def _claim_rows(
    claim: Claim,
    evidence: Evidence,
    gate: Gate,
    skip: frozenset[str],
    arms: Sequence[str],
    gaps: Sequence[Verdict],
) -> list[Verdict]:
    """Rows of one claim: the joint ones, one a metric, then what is missing."""
    judged = [judge_one(claim, one, gate, evidence.visits.lost) for one in comparisons(claim, evidence, skip)]
    done = {(one.source.metric, one.source.backend, one.source.baseline) for one in judged}
    lacking = missing.absent(claim, arms, done, gaps)
    joint = _joint_rows(claim, judged) if claim.rule == "all" else []
    own_gaps = [row for row in gaps if row.claim == claim.id]
    return missing.merge([*joint, *(one.row for one in judged)], own_gaps) + lacking


def _joint_rows(claim: Claim, judged: Sequence[Judged]) -> list[Verdict]:
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        if one.source.role == "primary":
            groups.setdefault((one.source.backend, one.source.baseline), []).append(one)
    rows = []
    for (backend, baseline), members in groups.items():
        there = {one.source.metric for one in members}
        lacking = [metric for metric in claim.required(backend) if metric not in there]
        rows.append(joint_row(claim, backend, baseline, members, lacking))
    return rows


def _host_arms(claims: Claims, plan: Plan | None) -> frozenset[str]:
    """The baseline and every second copy: no claim speaks of them."""
    copies = (arm.name for arm in plan.arms if arm.role == "control") if plan else ()
    return frozenset((claims.control.baseline, claims.control.arm, *copies))


def _seen(evidence: Evidence, plan: Plan | None) -> list[str]:
    """Arms planned or found in the samples."""
    planned = [arm.name for arm in plan.arms] if plan else []
    return list(dict.fromkeys([*planned, *sorted(evidence.visits.backends)]))


def _under_control(joint: Verdict, rows: Sequence[Verdict]) -> list[Verdict]:
    """Take every verdict back where the A/A control does not hold."""
    if joint.verdict == "supported":
        return list(rows)
    what = "failed" if joint.verdict == "refuted" else "could not be judged"
    note = f"run invalid: A/A control {what} ({joint.reason})"
    return [
        row
        if row.verdict == "not measured"
        else msgspec.structs.replace(row, verdict="inconclusive", reason=join(note, row.reason))
        for row in rows
    ]
