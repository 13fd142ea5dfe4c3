"""The positive control: was the extra work found that one arm did on purpose? Rows of `control.positive`.

Each metric is judged like any system (supported here = found = refuted against the margin). The control
fails, and the run with it, when the data say that the work is absent: then the bench does not see what it
should. A run too noisy to find the work does not fail, but every row that this affects gets a note.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from bench.claims import Claim, Claims, Positive
from bench.judging.comparisons import Comparison, RunSeries, ratio
from bench.judging.control import ROW_ALPHA, control_row, mean_ratio
from bench.judging.rows import Gate, Judged, decide, losses, more_data, notes, shortfall
from bench.judging.spending import Spending
from bench.model import JOINT, POSITIVE, Plan, State, Verdict
from bench.stats.cluster import Interval


def positive_of(claims: Claims, plan: Plan | None) -> Positive | None:
    """The positive control of a run: the plan's arm, without a plan the claims file's; None without any."""
    if plan is None:
        return claims.positive
    arm = plan.positive
    if arm is None:
        return None
    return msgspec.structs.replace(claims.positive, arm=arm.name, baseline=plan.baseline, extra=arm.extra)


def positive_rows(
    positive: Positive,
    evidence: RunSeries,
    gate: Gate,
    skip: frozenset[str],
    spending: Spending,
    planned: bool = False,
) -> list[Verdict]:
    """The joint row first, then one a metric that the arm measured; none where it had nothing to do."""
    found = [
        ratio(evidence, key, "primary", positive.baseline)
        for key in evidence.pooled(positive.baseline)
        if key[1] == positive.arm and key[0] not in skip
    ]
    ready = [one for one in found if not shortfall(one, gate)]
    share = positive.alpha / max(1, len(ready))
    judged = [_judged(positive, one, evidence, gate, spending, share) for one in found]
    if not (judged or planned):
        return []
    return [_joint(positive, judged), *(one.row for one in judged)]


def _judged(
    positive: Positive,
    comparison: Comparison,
    evidence: RunSeries,
    gate: Gate,
    spending: Spending,
    share: float,
) -> Judged:
    interval = comparison.bounds(spending.level(ROW_ALPHA, comparison))
    careful = comparison.bounds(spending.level(share, comparison))
    short = shortfall(comparison, gate)
    expected = 1.0 / (1.0 + positive.extra)
    state: State = "inconclusive"
    if short:
        why: tuple[str, ...] = (short,)
    elif decide(interval, positive.margin, at_least=True) == "refuted":
        state, why = "supported", ("the extra work was found",)
    elif decide(careful, positive.margin, at_least=True) == "supported":
        state, why = "refuted", (f"the extra work is not there, at {share:.2g}",)
    else:
        why = (
            f"this run lacked the power to see {_share(positive)} in {comparison.metric}",
            *more_data(_as_claim(positive), comparison, interval),
        )
    texts = notes(
        *why,
        f"expected {expected:.3f}, found {interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})",
        spending.note(comparison),
        *losses(comparison, evidence.visits.lost),
    )
    place = (comparison.metric, positive.arm, positive.baseline)
    row = control_row(POSITIVE, positive, place, interval, comparison.series.n_pairs, state, texts)
    row = msgspec.structs.replace(row, pairing=comparison.pairing)
    return Judged(row=row, source=comparison, interval=interval, short=short)


def _as_claim(positive: Positive) -> Claim:
    """What the control asks of one metric, as a claim asks it of a system."""
    return Claim(id=POSITIVE, sentence="", kind="ratio", margin=positive.margin, alpha=ROW_ALPHA)


def _joint(positive: Positive, judged: Sequence[Judged]) -> Verdict:
    rows = [one.row for one in judged]
    absent = [row.metric for row in rows if row.verdict == "refuted"]
    blind = blind_families(rows)
    state: State = "refuted" if absent else "inconclusive" if blind or not rows else "supported"
    series = [one.source.series for one in judged if one.source.series.n_sessions]
    nan = Interval(estimate=math.nan, low=math.nan, high=math.nan, se=math.nan, n_clusters=0)
    interval = mean_ratio(series, ROW_ALPHA) if series else nan
    shown = sum(row.verdict == "supported" for row in rows)
    short = f"no pairs of {positive.arm} against {positive.baseline}"
    if judged:
        short = judged[0].short if all(one.short for one in judged) else ""
    texts = notes(
        short,
        f"{_share(positive)} of extra work is not there in {', '.join(absent)}" if absent else "",
        f"this run lacked the power to see {_share(positive)} in {', '.join(sorted(blind))}"
        if blind and not short
        else "",
        f"found in {shown} of {len(rows)} metrics, expected {1.0 / (1.0 + positive.extra):.3f}",
    )
    place = (JOINT, positive.arm, positive.baseline)
    return control_row(POSITIVE, positive, place, interval, sum(row.n_pairs for row in rows), state, texts)


def blind_families(rows: Iterable[Verdict]) -> frozenset[str]:
    """Families in none of whose metrics the extra work was found."""
    all_, found = set(), set()
    for row in rows:
        if row.metric != JOINT:
            all_.add(family(row.metric))
            if row.verdict == "supported":
                found.add(family(row.metric))
    return frozenset(all_ - found)


def power_note(row: Verdict, positive: Positive, rows: Sequence[Verdict]) -> str:
    """The note for a row against the control's baseline where the control lacked power; empty elsewhere.

    The row of the same metric counts where there is one, else those of its family together.
    """
    if row.baseline != positive.baseline or row.verdict == "not measured" or not rows:
        return ""
    own = next((one for one in rows if one.metric == row.metric), None)
    lacked = own.verdict != "supported" if own else family(row.metric) in blind_families(rows)
    what = row.metric if own else family(row.metric)
    return f"the positive control lacked the power to see {_share(positive)} in {what}" if lacked else ""


def _share(positive: Positive) -> str:
    return f"{100.0 * positive.extra:g} %"


def family(metric: str) -> str:
    """First part of a metric's name."""
    return metric.partition(".")[0]
