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
from bench.judging.rows import ONCE, Gate, Judged, join, judge_one
from bench.judging.spending import Spending, spending
from bench.model import Closed, ImageInfo, NotMeasured, Plan, Verdict

__all__ = ["SamplesError", "judge"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What all claims of one judgement share. skip: arms and metrics that no claim speaks of here."""

    evidence: Evidence
    gate: Gate
    spending: Spending
    skip: frozenset[str]
    arms: tuple[str, ...]
    gaps: tuple[Verdict, ...]


def judge(
    samples: pd.DataFrame,
    claims: Claims,
    plan: Plan | None = None,
    not_measured: Sequence[NotMeasured] = (),
    image: ImageInfo | None = None,
    closed: Sequence[Closed] = (),
    sessions_run: int | None = None,
) -> list[Verdict]:
    """All verdict rows of a run: the A/A control (its joint row first), then the claims in their order.

    `samples` has the columns of bench.model.Sample, rows in any order. `plan` gives the profile (smoke never
    gives a verdict), the arms, which metrics are only shown (role info), and whether the run looked at its
    data before its end: then `closed` is what looks ended, `sessions_run` how many sessions were walked.
    Where the control failed or could not be judged, every other verdict is inconclusive and says so.
    Raises SamplesError.
    """
    evidence = Evidence(collect(samples))
    gate = Gate(min_sessions=claims.min_sessions, smoke=plan is not None and plan.profile == "smoke")
    # A session begun and not ended is in the data and no look has seen it: it counts as one more.
    seen = max(sessions_run or 0, evidence.visits.sessions)
    own = _host_arms(claims, plan)
    shown_only = _shown_only(plan)
    case = Case(
        evidence=evidence,
        gate=gate,
        spending=spending(plan, seen, closed, final=True) if plan else ONCE,
        skip=shown_only | own,
        arms=tuple(name for name in _seen(evidence, plan) if name not in own),
        gaps=tuple(missing.listed(claims, not_measured)),
    )
    control = control_rows(claims, evidence, gate, shown_only)
    rows: list[Verdict] = []
    for claim in claims.claim:
        if claim.kind == "later":
            rows.append(missing.later(claim))
        elif claim.kind == "digest":
            rows.append(missing.digest(claim, image))
        else:
            rows += _claim_rows(claim, case)
    rows += [row for row in case.gaps if row.claim in (missing.UNCLAIMED, CONTROL)]
    return [*control, *(rows if gate.smoke else _under_control(control[0], rows))]


def _claim_rows(claim: Claim, case: Case) -> list[Verdict]:
    """Rows of one claim: the joint ones, one a metric, then what is missing."""
    lost = case.evidence.visits.lost
    judged = [
        judge_one(claim, one, case.gate, lost, case.spending)
        for one in comparisons(claim, case.evidence, case.skip)
    ]
    done = {(one.source.metric, one.source.backend, one.source.baseline) for one in judged}
    lacking = missing.absent(claim, case.arms, done, case.gaps)
    joint = _joint_rows(claim, judged, case.spending) if claim.rule == "all" else []
    own_gaps = [row for row in case.gaps if row.claim == claim.id]
    return missing.merge([*joint, *(one.row for one in judged)], own_gaps) + lacking


def _joint_rows(claim: Claim, judged: Sequence[Judged], spending: Spending) -> list[Verdict]:
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        if one.source.role == "primary":
            groups.setdefault((one.source.backend, one.source.baseline), []).append(one)
    rows = []
    for (backend, baseline), members in groups.items():
        there = {one.source.metric for one in members}
        lacking = [metric for metric in claim.required(backend) if metric not in there]
        rows.append(joint_row(claim, backend, baseline, members, lacking, spending))
    return rows


def _shown_only(plan: Plan | None) -> frozenset[str]:
    return frozenset(metric.name for metric in plan.metrics if metric.role == "info") if plan else frozenset()


def _host_arms(claims: Claims, plan: Plan | None) -> frozenset[str]:
    """The baseline and every second copy: no claim speaks of them."""
    copies = (arm.name for arm in plan.arms if arm.role in ("control", "positive")) if plan else ()
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
