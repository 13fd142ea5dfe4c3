"""How many sessions each metric took to be decided on each system, and what ended the run."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bench.answers import course
from bench.answers.headline import SPEED, subject_of
from bench.answers.metric_names import metric_words, plain_metric
from bench.answers.sentences import DECIDED, amount
from bench.claims import Claim
from bench.model import ALL, INSTRUMENT, EndedBecause, Verdict
from reports.figures import course as figure
from reports.load import Evidence
from reports.panels import Panel, TextTable, panel
from reports.verdicts import why_open

_ENDED: dict[EndedBecause | None, str] = {
    "decided": "Everything that decides a claim was decided",
    "nothing left": "Nothing that was open could still be measured or was within reach",
    "last session": "The last session of the plan was measured",
    "budget": "The time budget was spent",
    "interrupted": "The run was interrupted",
    None: "The run ended",
}


MOST_LINES = 8
"""Intervals drawn over sessions: of the headline's sentence first, then the widest."""


class LooksSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section: after how many sessions the run first looked, what ended it, every metric's sessions."""

    first: int
    ended: str
    panel: Panel | None
    table: TextTable


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on one system: sessions it took, and whether it was decided, at a look or at the end."""

    verdict: Verdict
    claim: Claim
    sessions: int
    at_a_look: bool

    @property
    def decided(self) -> bool:
        """Whether there is a verdict."""
        return self.verdict.verdict in DECIDED

    @property
    def how(self) -> str:
        """When it was decided, for people."""
        if self.verdict.out_of_reach:
            return "out of reach"
        return "still open" if not self.decided else "at a look" if self.at_a_look else "at the end"

    @property
    def primary(self) -> bool:
        """Whether it decides its claim."""
        return self.claim.role_of(plain_metric(self.verdict.metric)) == "primary"


def looks(evidence: Evidence) -> LooksSection | None:
    """The section, or None for a run that looked only at its end, or that was not judged."""
    planned = evidence.run.plan.looks
    found = list(courses(evidence))
    if planned is None or not found:
        return None
    found.sort(key=lambda one: (not one.primary, evidence.arms.index(one.verdict.arm), one.sessions))
    cells = tuple(
        (
            evidence.legend.label(one.verdict.arm),
            metric_words(one.verdict.metric) + ("" if one.primary else " (stress)"),
            one.verdict.verdict,
            f"{one.sessions} of {planned.last}",
            one.how,
        )
        for one in found
    )
    head = ("system", "metric", "verdict", "sessions", "decided")
    return LooksSection(
        first=planned.first,
        ended=ended(evidence),
        panel=_narrowing(evidence, found),
        table=TextTable(head, cells),
    )


def _narrowing(evidence: Evidence, found: list[Course]) -> Panel | None:
    """How the intervals narrowed of what is still open of the headline's system."""
    subject = subject_of(evidence.run, evidence.verdicts)
    known = course.widths(evidence.samples, evidence.baseline, evidence.run.plan.counted)
    open_ = [
        one.verdict
        for one in found
        if one.primary
        and not one.decided
        and one.verdict.arm == subject
        and one.verdict.baseline == evidence.baseline
        and known.get((one.verdict.metric, subject))
    ]
    open_.sort(key=lambda row: (row.claim != SPEED, -known[row.metric, subject][-1][1]))
    lines = {metric_words(row.metric): known[row.metric, subject] for row in open_[:MOST_LINES]}
    if not lines:
        return None
    claims = {claim.id: claim for claim in evidence.claims.claim}
    cells = tuple(
        (
            metric_words(row.metric),
            amount(claims[row.claim], row.estimate),
            f"± {100 * known[row.metric, subject][-1][1]:.1f} %",
            why_open(row),
        )
        for row in open_
    )
    return panel(
        "course",
        f"{evidence.legend.label(subject)}: how what is open narrowed",
        figure.course(lines),
        TextTable(("metric", "estimate", "half of the interval", "why it is open"), cells),
        lead="Half of the 95 % interval after so many sessions. A metric is decided where that is less than "
        "its distance from the limit; the dashed line is 1 %.",
        alt="Half of the interval of each open metric over sessions, with a line at one per cent.",
    )


def courses(evidence: Evidence) -> Iterator[Course]:
    """Every judged metric of every system under test, once, in the order of the verdicts."""
    claims = {claim.id: claim for claim in evidence.claims.claim}
    closed = {(one.scenario, one.arm): one.sessions for one in evidence.run.closed}
    seen: set[tuple[str, str]] = set()
    for row in evidence.verdicts:
        key = (row.metric, row.arm)
        judged = row.metric != ALL and row.n_sessions > 0 and row.claim not in INSTRUMENT
        if not judged or row.claim not in claims or row.arm not in evidence.systems or key in seen:
            continue
        seen.add(key)
        scenario = evidence.scenario_of.get(plain_metric(row.metric), "")
        sessions = closed.get((scenario, row.arm))
        yield Course(
            verdict=row,
            claim=claims[row.claim],
            sessions=sessions or row.n_sessions,
            at_a_look=bool(sessions),
        )


def ended(evidence: Evidence) -> str:
    """What ended the run, in a sentence."""
    run = evidence.run
    ran = run.sessions_run
    done = ran if ran is not None else int(evidence.samples["session"].nunique())
    text = f"{_ENDED[run.ended_because]} after session {done} of at most {run.plan.sessions}"
    found = [answer for sentence in evidence.sentences for answer in sentence.answers if answer.measured]
    decided, deciding = sum(one.decided for one in found), sum(len(one.rows) for one in found)
    counted = f"; {decided} of {deciding} deciding metrics, counted by sentence and system, were decided"
    beyond = sum(row.out_of_reach for one in found for row in one.rows)
    counted += f", {beyond} given up as out of reach" if beyond else ""
    return f"{text}{counted if found else ''}."
