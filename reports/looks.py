"""How many sessions each metric took to be decided on each system, and what ended the run."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pandas as pd

from bench.answers.metric_names import metric_words, plain_metric
from bench.answers.sentences import amount, between
from bench.claims import Claim
from bench.model import ALL, INSTRUMENT, EndedBecause, Place, Verdict
from reports.figures import decisions
from reports.figures.base import plain
from reports.load import Evidence
from reports.panels import Panel, TextTable, panel

DECIDED = ("supported", "refuted")

_ENDED: dict[EndedBecause | None, str] = {
    "decided": "Everything that decides a claim was decided",
    "nothing left": "Nothing that was open could still be measured",
    "last session": "The last session of the plan was measured",
    "budget": "The time budget was spent",
    "interrupted": "The run was interrupted",
    None: "The run ended",
}


class LooksSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section: after how many sessions the run first looked, what ended it, one picture per system."""

    first: int
    ended: str
    panels: tuple[Panel, ...]


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
    shown = [arm for arm in evidence.systems if any(one.verdict.arm == arm for one in found)]
    panels = [_panel(arm, [one for one in found if one.verdict.arm == arm], evidence) for arm in shown]
    if len(panels) == 1:
        panels = [msgspec.structs.replace(panels[0], wide=True)]
    return LooksSection(first=planned.first, ended=ended(evidence), panels=tuple(panels))


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
    closed = {(one.scenario, one.arm) for one in run.closed}
    pairs = _deciding(evidence)
    counted = f"; {len(pairs & closed)} of {len(pairs)} pairs of scenario and arm were decided at a look"
    return f"{text}{counted if run.plan.looks and pairs else ''}."


def _deciding(evidence: Evidence) -> set[Place]:
    """(scenario, arm) that decide a claim."""
    return {
        (evidence.scenario_of.get(plain_metric(one.verdict.metric), ""), one.verdict.arm)
        for one in courses(evidence)
        if one.primary
    }


def _panel(arm: str, found: list[Course], evidence: Evidence) -> Panel:
    planned = evidence.run.plan.looks
    assert planned is not None
    found = sorted(found, key=lambda one: (not one.primary, one.sessions))
    drawn = [one for one in found if one.primary] or found
    rows = pd.DataFrame(
        {
            "label": [plain(metric_words(one.verdict.metric)) for one in drawn],
            "sessions": [one.sessions for one in drawn],
            "state": [one.verdict.verdict for one in drawn],
            "note": [_note(one) for one in drawn],
        }
    )
    cells = tuple(
        (
            metric_words(one.verdict.metric) + ("" if one.primary else " (stress)"),
            one.verdict.verdict,
            f"{one.sessions} of {planned.last}",
            one.how,
        )
        for one in found
    )
    head = ("metric", "verdict", "sessions", "decided")
    settled = [one for one in drawn if one.decided]
    label = evidence.legend.label(arm)
    return panel(
        f"looks-{arm}",
        f"{label}: {len(settled)} of {len(drawn)} decided",
        decisions.decisions(rows, planned.first, planned.last),
        TextTable(head, cells),
        alt=f"Sessions that each primary metric of {label} took to be decided; the table has them.",
        wide=False,
    )


def _note(one: Course) -> str:
    value, span = amount(one.claim, one.verdict.estimate), between(one.claim, one.verdict)
    return f"<b>{plain(one.verdict.metric)}</b><br>{one.verdict.verdict}, {one.how}<br>{value} ({span})"
