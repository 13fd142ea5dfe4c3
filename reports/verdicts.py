"""Verdict rows for readers: what was found for each claim and system, and what was needed."""

from __future__ import annotations

import math
from collections import Counter

import msgspec

from bench.claims import Claim
from bench.model import ALL, INSTRUMENT, State, Verdict
from reports.load import Evidence
from reports.names import metric_words, plain_metric
from reports.words import NBSP, count, digits, limit, quantity, share

AT_MOST = ("quantile", "absolute")
"""Kinds of claim that are about a value of at most so much; the others are about a ratio of at least."""

WORST_FIRST: tuple[State, ...] = ("refuted", "inconclusive", "not measured", "supported")


def about_instrument(verdict: Verdict) -> bool:
    """Whether a row is a control's or a check's."""
    return verdict.claim in INSTRUMENT


class VerdictRow(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict as shown. why: its notes in one line; reason: the same, and that the CPU was emulated.

    goodness: only orders estimates, the best one highest.
    """

    metric: str
    words: str
    definition: str
    role: str
    state: State
    estimate: str
    interval: str
    needed: str
    evidence: str
    why: str
    reason: str
    goodness: float


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about one system: its state, a tally where each metric stands alone, and the rows behind it."""

    arm: str
    system: str
    state: State
    tally: str
    finding: str
    rows: tuple[VerdictRow, ...]


class ClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence under test with its opinions in the plan's order, emulated systems last.

    `absent` are systems that were not measured at all; the run says why.
    """

    id: str
    sentence: str
    why: str
    refuted_when: str
    opinions: tuple[Opinion, ...]
    absent: tuple[str, ...]


def claim_views(evidence: Evidence) -> tuple[ClaimView, ...]:
    """Every claim that has verdicts, in the order of the claims file, then claims that only verdicts know."""
    known = {claim.id: claim for claim in evidence.claims.claim}
    given: dict[str, list[Verdict]] = {name: [] for name in known}
    for verdict in evidence.verdicts:
        if verdict.arm not in evidence.controls and not about_instrument(verdict):
            given.setdefault(verdict.claim, []).append(verdict)
    kept = {
        name: rows
        for name, rows in given.items()
        if rows and (name in known or any(row.verdict != "not measured" for row in rows))
    }
    return tuple(_claim_view(evidence, known.get(name), name, rows) for name, rows in kept.items())


def _claim_view(evidence: Evidence, claim: Claim | None, name: str, rows: list[Verdict]) -> ClaimView:
    systems = _by_system(rows)
    gone = {gap.arm for gap in evidence.run.not_measured if not gap.metric}
    systems = {key: group for key, group in systems.items() if key[0] != evidence.baseline}
    absent = [key for key, group in systems.items() if key[0] in gone and _is_absent(group)]
    rank = {arm: place for place, arm in enumerate(evidence.arms)}
    present = [key for key in systems if key not in absent]
    present.sort(
        key=lambda key: (any(map(evidence.legend.is_emulated, key)), rank.get(key[0], len(rank)), key)
    )
    return ClaimView(
        id=name,
        sentence=claim.sentence if claim else name,
        why=claim.why if claim else "",
        refuted_when=claim.refuted_when if claim else "",
        opinions=tuple(_opinion(evidence, claim, key, systems[key]) for key in present),
        absent=tuple(dict.fromkeys(evidence.legend.label(arm) for arm, _ in absent)),
    )


def _by_system(rows: list[Verdict]) -> dict[tuple[str, str], list[Verdict]]:
    """Rows by (arm, baseline). A gap names no baseline: it joins the first opinion about its arm."""
    systems: dict[tuple[str, str], list[Verdict]] = {}
    for row in sorted(rows, key=lambda row: row.verdict == "not measured"):
        key = (row.arm, row.baseline)
        if row.verdict == "not measured" and key not in systems:
            key = next((other for other in systems if other[0] == row.arm), key)
        systems.setdefault(key, []).append(row)
    return systems


def _is_absent(rows: list[Verdict]) -> bool:
    return all(row.metric == ALL and row.verdict == "not measured" for row in rows)


def _opinion(
    evidence: Evidence, claim: Claim | None, key: tuple[str, str], verdicts: list[Verdict]
) -> Opinion:
    rows = [_row(evidence, claim, verdict) for verdict in verdicts]
    rows.sort(key=lambda row: (row.metric != ALL, row.role != "primary"))
    whole = next((row for row in rows if row.metric == ALL), None)
    single = [row for row in rows if row.metric != ALL]
    deciding = [row for row in single if row.role == "primary"] or single or rows
    tally = Counter(row.state for row in deciding)
    state: State = whole.state if whole else next(s for s in WORST_FIRST if tally[s])
    return Opinion(
        arm=key[0],
        system=_system(evidence, claim, *key),
        state=state,
        tally=", ".join(f"{tally[s]} {s}" for s in reversed(WORST_FIRST) if tally[s])
        if len(tally) > 1
        else "",
        finding=_finding(whole, deciding),
        rows=tuple(rows),
    )


def _system(evidence: Evidence, claim: Claim | None, arm: str, baseline: str) -> str:
    if arm == ALL:
        return ""
    label = evidence.legend.label
    against = claim is not None and claim.kind == "ratio" and baseline not in (evidence.baseline, "")
    return f"{label(arm)} against {label(baseline)}" if against else label(arm)


def _finding(whole: VerdictRow | None, deciding: list[VerdictRow]) -> str:
    """The worst of the deciding numbers and what it had to be, or why there is no number."""
    worst = min(deciding, key=lambda row: (WORST_FIRST.index(row.state), row.goodness))
    shown = whole if whole and whole.estimate else worst
    if not shown.estimate:
        return (whole or worst).reason
    several = len(deciding) > 1
    prefix = "Worst: " if shown is whole and several else f"Worst, {worst.words}: " if several else ""
    span = f" ({shown.interval})" if shown.interval else ""
    bound = f"; {shown.needed}" if shown.needed else ""
    # That a CPU was emulated stands in the name of the system, which is shown beside this.
    why = f". Undecided: {shown.why}" if shown.state == "inconclusive" and shown.why else ""
    return f"{prefix}{shown.estimate}{span}{bound}{why}"


def _row(evidence: Evidence, claim: Claim | None, verdict: Verdict) -> VerdictRow:
    known = evidence.metrics
    metric = known.get(verdict.metric) or known.get(plain_metric(verdict.metric))
    role = claim.role_of(plain_metric(verdict.metric)) if claim else None
    joint = verdict.metric == ALL
    return VerdictRow(
        metric=verdict.metric,
        words="all primary metrics together" if joint else metric_words(verdict.metric),
        definition=metric.definition if metric else "",
        role="primary" if joint or role is None else role,
        state=verdict.verdict,
        estimate=amount(claim, verdict.estimate),
        interval=between(claim, verdict),
        needed=needed(claim, verdict),
        evidence=_evidence(verdict),
        why="; ".join(verdict.notes),
        reason=verdict.reason,
        goodness=_goodness(claim, verdict.estimate),
    )


def _goodness(claim: Claim | None, estimate: float | None) -> float:
    if estimate is None:
        return math.inf
    return -estimate if claim is not None and claim.kind in AT_MOST else estimate


def amount(claim: Claim | None, value: float | None) -> str:
    """An estimate as its claim counts it: per cent of the baseline's performance, times, or a quantity."""
    if value is None:
        return ""
    if claim is not None and claim.kind in AT_MOST:
        return quantity(value, claim.unit)
    far = claim is not None and (claim.margin or 1) > 2
    return f"{digits(value)}{NBSP}times" if far else share(value)


def between(claim: Claim | None, verdict: Verdict) -> str:
    """The interval as text; each of its ends holds with the verdict's own confidence.

    A ratio or a time of at least 0 says nothing and is left out.
    """
    absolute = claim is not None and claim.kind == "absolute"
    low = amount(claim, verdict.low if verdict.low or absolute else None)
    high = amount(claim, verdict.high)
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def needed(claim: Claim | None, verdict: Verdict) -> str:
    """The claim's limit as text."""
    if verdict.margin is None:
        return ""
    at_most = claim is not None and claim.kind in AT_MOST
    return f"needed: {'at most' if at_most else 'at least'} {limit(amount(claim, verdict.margin))}"


def _evidence(verdict: Verdict) -> str:
    if not verdict.n_pairs:
        return ""
    noun = "pair" if verdict.baseline else "value"
    return f"{count(verdict.n_pairs, noun)} in {count(verdict.n_sessions, 'session')}"
