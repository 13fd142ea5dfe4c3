"""Samples and claims to verdicts: pure, deterministic, no I/O.

The statistics are in bench.stats, the parts of the judgement in bench.judging; this is the order they go in.
How to read a row: docs/claims.md. Why these methods: docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pandas as pd

from bench.claims import Claim, Claims, Positive
from bench.foreign import judge_frame
from bench.judging import control, missing, positive, same
from bench.judging.clock import clock_rows
from bench.judging.comparisons import RunSeries, comparisons
from bench.judging.joint import joint_row
from bench.judging.pairs import SamplesError, collect
from bench.judging.rows import ONCE, Gate, Judged, families, family_of, judge_one
from bench.judging.spending import Spending, spending
from bench.model import AA, POSITIVE, Closed, ImageInfo, NotMeasured, OutOfReach, Plan, Verdict

__all__ = ["CONTROLS", "SamplesError", "judge", "judge_frame"]

CONTROLS = (AA, POSITIVE)
"""Claims of the controls: a run is invalid where the joint row of one is refuted."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What all rows of one judgement share.

    shown_only: metrics that no verdict speaks of. controls: arm → the claim of the control it is part of.
    arms: those that claims speak of.
    """

    claims: Claims
    evidence: RunSeries
    gate: Gate
    spending: Spending
    shown_only: frozenset[str]
    baseline: str
    pairs: tuple[control.Pair, ...]
    positive: Positive | None
    controls: dict[str, str]
    arms: tuple[str, ...]

    @property
    def skip(self) -> frozenset[str]:
        """Metrics and arms that no claim speaks of here."""
        return self.shown_only | {self.baseline, *self.controls}


def judge(
    samples: pd.DataFrame,
    claims: Claims,
    plan: Plan | None = None,
    not_measured: Sequence[NotMeasured] = (),
    image: ImageInfo | None = None,
    closed: Sequence[Closed] = (),
    sessions_run: int | None = None,
    out_of_reach: Sequence[OutOfReach] = (),
) -> list[Verdict]:
    """All verdict rows of a run: the controls (the A/A control's joint row first), the claims in their order.

    `samples` has the columns of bench.model.Sample, rows in any order. `plan` gives the profile (smoke never
    gives a verdict), the arms, which metrics are only shown (role info), and whether the run looked at its
    data before its end: then `closed` is what looks ended, `out_of_reach` what they gave up, `sessions_run`
    how many sessions were walked.
    Where a control failed, or the A/A control could not be judged, every other verdict is inconclusive and
    says so. Raises SamplesError.
    """
    case = _case(samples, claims, plan, closed, sessions_run, out_of_reach)
    alike = control.control_rows(claims, case.evidence, case.gate, case.shown_only, case.pairs)
    slowed: list[Verdict] = []
    if case.positive:
        asked = any(step.arm == case.positive.arm for step in plan.steps) if plan else False
        slowed = positive.positive_rows(
            case.positive, case.evidence, case.gate, case.shown_only, case.spending, planned=asked
        )
    gaps = missing.listed(claims, not_measured, case.controls, case.evidence.kinds)
    rows: list[Verdict] = []
    for claim in claims.claim:
        if claim.kind == "later":
            rows.append(missing.later(claim))
        elif claim.kind == "digest":
            rows.append(missing.digest(claim, image))
        elif claim.kind == "same":
            rows += same.rows(claim, case.evidence.visits, case.arms, case.evidence.kinds, case.gate, gaps)
        else:
            rows += _claim_rows(claim, case, gaps)
        if claim.id not in {row.claim for row in rows}:
            rows.append(missing.nobody(claim))
    rows += [row for row in gaps if row.claim in (missing.UNCLAIMED, *case.controls.values())]
    checks = clock_rows(claims.clock, samples, case.evidence, case.baseline, case.arms, case.gate)
    if not case.gate.smoke:
        if case.positive:
            rows = [_with_power(row, case.positive, slowed) for row in rows]
        rows = _under_controls(alike[0], slowed, rows)
    return _marked([*alike, *slowed, *_given_up(rows, case, out_of_reach), *checks], plan)


def _case(
    samples: pd.DataFrame,
    claims: Claims,
    plan: Plan | None,
    closed: Sequence[Closed],
    sessions_run: int | None,
    out_of_reach: Sequence[OutOfReach],
) -> Case:
    planned = plan.arm if plan else {}
    kinds = {name: arm.kind for name, arm in planned.items()}
    evidence = RunSeries(collect(samples), kinds, plan.counted if plan else None)
    pairs = control.pairs_of(claims, plan)
    slowed = positive.positive_of(claims, plan)
    controls = {arm: AA for arm, _ in pairs}
    if slowed:
        controls[slowed.arm] = POSITIVE
    baseline = plan.baseline if plan else claims.control.baseline
    arms = dict.fromkeys([*planned, *sorted(evidence.visits.arms)])
    return Case(
        claims=claims,
        evidence=evidence,
        gate=Gate(min_sessions=claims.min_sessions, smoke=plan is not None and plan.profile == "smoke"),
        spending=spending(plan, sessions_run or 0, closed, out_of_reach, final=True) if plan else ONCE,
        shown_only=plan.shown_only if plan else frozenset(),
        baseline=baseline,
        pairs=pairs,
        positive=slowed,
        controls=controls,
        arms=tuple(name for name in arms if name != baseline and name not in controls),
    )


def _claim_rows(claim: Claim, case: Case, gaps: Sequence[Verdict]) -> list[Verdict]:
    """Rows of one claim: the joint ones, one a metric, then what is missing."""
    lost = case.evidence.visits.lost
    listed = list(comparisons(claim, case.evidence, case.skip))
    together = families(claim, listed)
    judged = [
        judge_one(claim, one, case.gate, lost, case.spending, together[family_of(one)]) for one in listed
    ]
    done = {(one.source.metric, one.source.arm, one.source.baseline) for one in judged}
    lacking = missing.absent(claim, case.arms, done, gaps, case.evidence.kinds)
    joint = _joint_rows(claim, judged, case) if claim.rule == "all" else []
    own_gaps = [row for row in gaps if row.claim == claim.id]
    return missing.merge([*joint, *(one.row for one in judged)], own_gaps) + lacking


def _joint_rows(claim: Claim, judged: Sequence[Judged], case: Case) -> list[Verdict]:
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        if one.source.role == "primary":
            groups.setdefault((one.source.arm, one.source.baseline), []).append(one)
    rows = []
    for (arm, baseline), members in groups.items():
        there = {one.source.metric for one in members}
        required = claim.required(case.evidence.kinds.get(arm))
        lacking = [metric for metric in required if metric not in there]
        rows.append(joint_row(claim, arm, baseline, members, lacking, case.spending))
    return rows


def _with_power(row: Verdict, slowed: Positive, found: Sequence[Verdict]) -> Verdict:
    """The row with a note where the positive control lacked the power to see its extra work."""
    note = positive.power_note(row, slowed, found)
    return msgspec.structs.replace(row, notes=(*row.notes, note)) if note else row


def _under_controls(alike: Verdict, slowed: Sequence[Verdict], rows: Sequence[Verdict]) -> list[Verdict]:
    """Take every verdict back where the A/A control does not hold or the positive control failed."""
    notes = []
    if alike.verdict != "supported":
        what = "failed" if alike.verdict == "refuted" else "could not be judged"
        notes.append(f"run invalid: A/A control {what} ({alike.reason})")
    if slowed and slowed[0].verdict == "refuted":
        notes.append(f"run invalid: positive control failed ({slowed[0].reason})")
    if not notes:
        return list(rows)
    return [
        row
        if row.verdict == "not measured"
        else msgspec.structs.replace(row, verdict="inconclusive", notes=(*notes, *row.notes))
        for row in rows
    ]


def _given_up(rows: Sequence[Verdict], case: Case, out_of_reach: Sequence[OutOfReach]) -> Sequence[Verdict]:
    """The rows, those marked that a look put out of reach of this run."""
    places = {(one.scenario, one.arm): one.seconds for one in out_of_reach}
    scenarios = case.evidence.visits.scenario

    def marked(row: Verdict) -> Verdict:
        place = (scenarios.get(row.metric, ""), row.arm)
        if place not in places or row.verdict != "inconclusive":
            return row
        seconds = places[place]
        minutes = None if seconds is None else round(seconds / 60, 1)
        return msgspec.structs.replace(row, out_of_reach=True, minutes=minutes)

    return [marked(row) for row in rows] if places else rows


def _marked(rows: Sequence[Verdict], plan: Plan | None) -> list[Verdict]:
    """The rows, those marked that speak of an emulated machine."""
    emulated = {arm.name for arm in plan.arms if arm.emulated} if plan else set()
    return [
        msgspec.structs.replace(row, emulated=True) if emulated & {row.arm, row.baseline} else row
        for row in rows
    ]
