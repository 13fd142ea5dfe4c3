"""Verdict rows for readers: what was found for each claim and system, and every metric behind it."""

from __future__ import annotations

import msgspec

from bench.answers.metric_names import metric_words, plain_metric
from bench.answers.sentences import Answer, Sentence, Word, amount, between, bound, reach
from bench.answers.words import count
from bench.claims import Claim
from bench.model import ALL, State, Verdict
from reports.headline import extent
from reports.load import Evidence


class VerdictRow(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict as shown."""

    metric: str
    words: str
    definition: str
    role: str
    state: State
    estimate: str
    interval: str
    evidence: str
    reason: str


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about one system: its state, what decides it, how far it goes, and the rows behind it."""

    system: str
    state: Word
    extent: str
    finding: str
    rows: tuple[VerdictRow, ...]


class ClaimView(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence under test with its opinions. absent: systems that were not measured; the run says why."""

    id: str
    sentence: str
    bound: str
    why: str
    refuted_when: str
    opinions: tuple[Opinion, ...]
    absent: tuple[str, ...]


def claim_views(evidence: Evidence) -> tuple[ClaimView, ...]:
    """Every sentence that was measured for some system, in the order of the claims file."""
    views = (_claim_view(evidence, sentence) for sentence in evidence.sentences)
    return tuple(view for view in views if view.opinions)


def _claim_view(evidence: Evidence, sentence: Sentence) -> ClaimView:
    claim = sentence.claim
    there = [one for one in sentence.answers if one.state not in ("not asked", "not measured")]
    gone = [one.arm for one in sentence.answers if one.state == "not measured"]
    return ClaimView(
        id=claim.id,
        sentence=claim.sentence,
        bound=bound(claim),
        why=claim.why,
        refuted_when=claim.refuted_when,
        opinions=tuple(_opinion(evidence, claim, answer) for answer in there),
        absent=tuple(dict.fromkeys(map(evidence.legend.label, gone))),
    )


def _opinion(evidence: Evidence, claim: Claim, answer: Answer) -> Opinion:
    mine = [
        _row(evidence, claim, row)
        for row in evidence.verdicts
        if row.claim == claim.id and row.arm == answer.arm and row.baseline in ("", answer.baseline)
    ]
    mine.sort(key=lambda row: (row.metric != ALL, row.role != "primary"))
    return Opinion(
        system=_system(evidence, claim, answer),
        state=answer.state,
        extent=extent(answer) if len(claim.primary) > 1 else "",
        finding=_finding(claim, answer),
        rows=tuple(mine),
    )


def _system(evidence: Evidence, claim: Claim, answer: Answer) -> str:
    if answer.arm == ALL:
        return ""
    label = evidence.legend.label
    against = claim.kind == "ratio" and answer.baseline not in (evidence.baseline, "")
    return f"{label(answer.arm)} against {label(answer.baseline)}" if against else label(answer.arm)


def _finding(claim: Claim, answer: Answer) -> str:
    """The worst of the deciding numbers with its own interval, or why there is no number."""
    if answer.row is None:
        return answer.reason
    prefix = f"worst, {metric_words(answer.row.metric)}: " if len(answer.rows) > 1 else ""
    span = between(claim, answer.row)
    # That a CPU was emulated stands in the name of the system, which is shown beside this.
    why = why_open(answer.row) if answer.state == "inconclusive" else ""
    number = f"{amount(claim, answer.row.estimate)}{f' ({span})' if span else ''}"
    return f"{prefix}{number}{f'. Open: {why}' if why else ''}"


def why_open(row: Verdict) -> str:
    """Whether the run gave a row up, and what the judge noted."""
    return "; ".join(filter(None, (reach(row), *row.notes)))


def _row(evidence: Evidence, claim: Claim, verdict: Verdict) -> VerdictRow:
    known = evidence.metrics
    metric = known.get(verdict.metric) or known.get(plain_metric(verdict.metric))
    joint = verdict.metric == ALL
    return VerdictRow(
        metric=verdict.metric,
        words="all together (bounds that hold for all at once)" if joint else metric_words(verdict.metric),
        definition=metric.definition if metric else "",
        role="primary" if joint else claim.role_of(plain_metric(verdict.metric)) or "primary",
        state=verdict.verdict,
        estimate=amount(claim, verdict.estimate),
        interval=between(claim, verdict),
        evidence=_evidence(verdict),
        reason=why_open(verdict),
    )


def _evidence(verdict: Verdict) -> str:
    if not verdict.n_pairs:
        return ""
    noun = "pair" if verdict.baseline else "value"
    text = f"{count(verdict.n_pairs, noun)} in {count(verdict.n_sessions, 'session')}"
    return f"{text}, copies counted" if verdict.pairing == "copies" else text
