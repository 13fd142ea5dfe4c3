"""Verdict rows in words: what was found for each claim and system, and what was needed."""

from __future__ import annotations

from collections import Counter

import msgspec

from bench.claims import Claim
from bench.model import State, Verdict
from reports import arms
from reports.load import Evidence
from reports.words import count, digits, quantity, share

ALL = "*"
"""The metric of a row that speaks of all primary metrics of its claim together."""

WORST_FIRST: tuple[State, ...] = ("refuted", "inconclusive", "not measured", "supported")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict as shown: all fields are words except `state` and `role`."""

    metric: str
    definition: str
    backend: str
    role: str
    state: State
    estimate: str
    interval: str
    needed: str
    evidence: str
    reason: str


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about one system: its state, or several where each metric stands alone, and the rows behind it."""

    arm: str
    backend: str
    state: State
    tally: str
    finding: str
    rows: tuple[Row, ...]


class ClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence under test with its opinions, systems in the plan's order, emulated ones last."""

    id: str
    sentence: str
    why: str
    refuted_when: str
    opinions: tuple[Opinion, ...]


def claim_views(evidence: Evidence) -> tuple[ClaimView, ...]:
    """Every claim of the file, then claims that only the verdicts know, each with what was found."""
    known = {claim.id: claim for claim in evidence.claims.claim}
    given: dict[str, list[Verdict]] = {name: [] for name in known}
    for verdict in evidence.verdicts:
        if verdict.backend != evidence.claims.control.arm:
            given.setdefault(verdict.claim, []).append(verdict)
    views = (_claim_view(evidence, known.get(name), name, rows) for name, rows in given.items())
    return tuple(view for view in views if view.opinions)


def _claim_view(evidence: Evidence, claim: Claim | None, name: str, rows: list[Verdict]) -> ClaimView:
    by_system: dict[tuple[str, str], list[Verdict]] = {}
    for row in rows:
        by_system.setdefault((row.backend, row.baseline), []).append(row)
    rank = {arm: place for place, arm in enumerate(evidence.arms)}
    ordered = sorted(by_system, key=lambda key: (any(map(arms.emulated, key)), rank.get(key[0], 99), key))
    return ClaimView(
        id=name,
        sentence=claim.sentence if claim else name,
        why=claim.why if claim else "",
        refuted_when=claim.refuted_when if claim else "",
        opinions=tuple(_opinion(evidence, claim, key, by_system[key]) for key in ordered),
    )


def _opinion(evidence: Evidence, claim: Claim | None, key: tuple[str, str], rows: list[Verdict]) -> Opinion:
    shown = [_row(evidence, claim, row) for row in rows]
    shown.sort(key=lambda row: (row.metric != ALL, row.role != "primary"))
    deciding = [row for row in shown if row.role == "primary"] or shown
    whole = next((row for row in shown if row.metric == ALL), None)
    states = [row.state for row in deciding if row.metric != ALL] or [row.state for row in deciding]
    tally = Counter(states)
    state: State = whole.state if whole else next(s for s in WORST_FIRST if tally[s])
    alone = whole is not None or len(tally) == 1
    return Opinion(
        arm=key[0],
        backend=_against(claim, *key),
        state=state,
        tally="" if alone else ", ".join(f"{tally[s]} {s}" for s in reversed(WORST_FIRST) if tally[s]),
        finding=_finding(whole, deciding),
        rows=tuple(shown),
    )


def _against(claim: Claim | None, backend: str, baseline: str) -> str:
    usual = not claim or claim.kind != "ratio" or baseline in ("host", "")
    return arms.label(backend) if usual else f"{arms.label(backend)} against {arms.label(baseline)}"


def _finding(whole: Row | None, deciding: list[Row]) -> str:
    """The reason of the row for all, or the deciding row that is worst, in one line."""
    if whole and (whole.reason or len(deciding) == 1):
        return whole.reason
    single = [row for row in deciding if row.metric != ALL]
    worst = min(single or deciding, key=lambda row: WORST_FIRST.index(row.state))
    if not worst.estimate:
        return worst.reason
    prefix = "" if len(single) == 1 else f"{worst.metric}: "
    return f"{prefix}{worst.estimate} ({worst.interval}); {worst.needed}"


def _row(evidence: Evidence, claim: Claim | None, verdict: Verdict) -> Row:
    metric = evidence.metrics.get(verdict.metric)
    role = (claim.role_of(_plain_metric(verdict.metric)) if claim else None) or "primary"
    return Row(
        metric=verdict.metric,
        definition=metric.definition if metric else "",
        backend=arms.label(verdict.backend),
        role="primary" if verdict.metric == ALL else role,
        state=verdict.verdict,
        estimate=amount(claim, verdict.estimate),
        interval=between(claim, verdict),
        needed=_needed(claim, verdict),
        evidence=_evidence(verdict),
        reason=verdict.reason,
    )


def _plain_metric(name: str) -> str:
    """A quantile's row is named `metric.p99`; its role is the metric's."""
    head, _, last = name.rpartition(".")
    return head if last[:1] == "p" and last[1:].isdigit() else name


def amount(claim: Claim | None, value: float | None) -> str:
    """An estimate as its claim counts it: per cent of the baseline's performance, times, or a quantity."""
    if value is None:
        return ""
    if claim is not None and claim.kind != "ratio":
        return quantity(value, claim.unit)
    far = claim is not None and (claim.margin or 1) > 2
    return f"{digits(value)} times" if far else share(value)


def between(claim: Claim | None, verdict: Verdict) -> str:
    """The interval in words; each of its ends holds with the verdict's own confidence."""
    low, high = amount(claim, verdict.low), amount(claim, verdict.high)
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def _needed(claim: Claim | None, verdict: Verdict) -> str:
    if verdict.margin is None:
        return ""
    at_most = claim is not None and claim.kind in ("quantile", "absolute")
    return f"needed: {'at most' if at_most else 'at least'} {amount(claim, verdict.margin)}"


def _evidence(verdict: Verdict) -> str:
    if not verdict.n_pairs:
        return ""
    return f"{count(verdict.n_pairs, 'pair')} in {count(verdict.n_sessions, 'session')}"
