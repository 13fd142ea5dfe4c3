"""How many sessions each metric took to be decided on each system, and what ended the run."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pandas as pd

from bench.claims import Claim
from bench.model import Verdict
from reports import arms
from reports.figures import decisions
from reports.figures.base import plain
from reports.load import Evidence
from reports.names import metric_words, plain_metric
from reports.panels import Panel, Table, panel
from reports.verdicts import ALL, about_instrument, amount, between
from reports.words import count

DECIDED = ("supported", "refuted")
ENDED = "ended: "
"""How the note of a run begins that says what ended it; where there is none, the closings tell."""


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """The section: after how many sessions the run first looked, what ended it, a picture a system."""

    first: int
    ended: str
    panels: tuple[Panel, ...]


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on one system: sessions it took, and whether a look, the end or nothing decided it."""

    verdict: Verdict
    claim: Claim
    sessions: int
    how: str

    @property
    def primary(self) -> bool:
        """Whether it decides its claim."""
        return self.claim.role_of(plain_metric(self.verdict.metric)) == "primary"


def looks(evidence: Evidence) -> Looks | None:
    """The section, or None for a run that looked only at its end, or that was not judged."""
    planned = evidence.run.plan.looks
    found = list(courses(evidence))
    if planned is None or not found:
        return None
    shown = [arm for arm in evidence.systems if any(one.verdict.backend == arm for one in found)]
    panels = [_panel(arm, [one for one in found if one.verdict.backend == arm], evidence) for arm in shown]
    if len(panels) == 1:
        panels = [msgspec.structs.replace(panels[0], wide=True)]
    return Looks(first=planned.first, ended=ended(evidence), panels=tuple(panels))


def courses(evidence: Evidence) -> Iterator[Course]:
    """Every judged metric of every system under test, once, in the order of the verdicts."""
    claims = {claim.id: claim for claim in evidence.claims.claim}
    closed = {(one.scenario, one.arm): one.sessions for one in evidence.run.closed}
    seen: set[tuple[str, str]] = set()
    for row in evidence.verdicts:
        key = (row.metric, row.backend)
        judged = row.metric != ALL and row.n_sessions > 0 and not about_instrument(row)
        if not judged or row.claim not in claims or row.backend not in evidence.systems or key in seen:
            continue
        seen.add(key)
        scenario = evidence.scenario_of.get(plain_metric(row.metric), "")
        sessions = closed.get((scenario, row.backend))
        how = "still open" if row.verdict not in DECIDED else "at a look" if sessions else "at the end"
        yield Course(verdict=row, claim=claims[row.claim], sessions=sessions or row.n_sessions, how=how)


def ended(evidence: Evidence) -> str:
    """What ended the run, in a sentence."""
    run, planned = evidence.run, evidence.run.plan.looks
    told = [note.removeprefix(ENDED) for note in run.notes if note.startswith(ENDED)]
    if told:  # an interrupted run that went on has several
        return f"{told[-1][:1].upper()}{told[-1][1:]}."
    last = planned.last if planned else run.plan.sessions
    ran = run.sessions_run
    done = count(ran if ran is not None else _sessions_seen(evidence), "session")
    if run.status != "complete":
        return f"The run did not come to its end: {run.status} after {done} of at most {last}."
    if not _open(evidence):
        return f"All that decides a claim was decided, so the run ended after {done} of at most {last}."
    if ran is not None and ran < last:
        return f"The time budget was spent after {done} of at most {last}; what was open then stayed open."
    return f"The last planned session ended the run: {done}."


def _sessions_seen(evidence: Evidence) -> int:
    return int(evidence.samples["session"].nunique())


def _open(evidence: Evidence) -> set[tuple[str, str]]:
    """(scenario, arm) that a primary metric needs and no look closed."""
    closed = {(one.scenario, one.arm) for one in evidence.run.closed}
    needed = {
        (evidence.scenario_of.get(plain_metric(one.verdict.metric), ""), one.verdict.backend)
        for one in courses(evidence)
        if one.primary
    }
    return needed - closed


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
    settled = [one for one in drawn if one.how != "still open"]
    return panel(
        f"looks-{arm}",
        f"{arms.label(arm)}: {len(settled)} of {len(drawn)} decided",
        decisions.decisions(rows, planned.first, planned.last),
        Table(head, cells),
        alt=f"Sessions that each primary metric of {arms.label(arm)} took to be decided; the table has them.",
        wide=False,
    )


def _note(one: Course) -> str:
    value, span = amount(one.claim, one.verdict.estimate), between(one.claim, one.verdict)
    return f"<b>{plain(one.verdict.metric)}</b><br>{one.verdict.verdict}, {one.how}<br>{value} ({span})"
