"""May the instrument be believed: what the controls of a run say, and if one failed, by how much."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bench.answers.labels import Labels
from bench.answers.metric_names import metric_words
from bench.answers.words import NBSP, share
from bench.model import AA, ALL, JOINT, POSITIVE, Run, State, Verdict
from bench.profiles import MIN_SESSIONS

MOST_NAMED = 3
"""Faults named in a sentence; tables have them all."""

NEGATIVE_WORD: dict[State, str] = {
    "supported": "passed",
    "refuted": "failed",
    "inconclusive": "not decided",
    "not measured": "not measured",
}
POSITIVE_WORD: dict[State, str] = {
    "supported": "found",
    "refuted": "failed",
    "inconclusive": "too weak",
    "not measured": "not measured",
}


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """One control. rows: its metrics; joint: the row over all of them; faults: what failed, and by how much.

    expected: what the control's arm should show, as a share of the baseline's performance.
    """

    state: State
    word: str
    sentence: str
    joint: Verdict | None
    rows: tuple[Verdict, ...]
    faults: tuple[str, ...]
    expected: float


def negative(run: Run, verdicts: Iterable[Verdict]) -> Control:
    """Copies of one arm beside each other: whatever differs is the instrument's own."""
    joint, rows = joined(verdicts, AA)
    state: State = joint.verdict if joint else "not measured"
    labels = Labels(run.plan.arms)
    faults = [
        f"{metric_words(row.metric)} of {labels.label(row.arm)} beside {labels.label(row.baseline)}: "
        f"{share(row.estimate)} ({span(row)}) where 100{NBSP}% was expected"
        for row in rows
        if row.verdict == "refuted"
    ]
    if state == "refuted" and joint is not None and not faults and joint.estimate is not None:
        faults.append(f"all metrics together: {share(joint.estimate)} ({span(joint)})")
    number = sum(row.estimate is not None and row.n_sessions >= MIN_SESSIONS for row in rows)
    said = {
        "supported": f"Between copies of one arm there is no difference as the worst of {number} metrics.",
        "refuted": "Two copies of one arm differ, so the instrument cannot be trusted in this run.",
        "inconclusive": "This run cannot tell whether two copies of one arm differ.",
        "not measured": "This run has no verdict on its A/A control.",
    }
    return Control(
        state=state,
        word=NEGATIVE_WORD[state],
        sentence=said[state],
        joint=joint,
        rows=rows,
        faults=tuple(faults),
        expected=1.0,
    )


def positive(run: Run, verdicts: Iterable[Verdict]) -> Control | None:
    """The host doing more work, which has to be found; None for a run without such an arm."""
    planned = run.plan.positive
    joint, rows = joined(verdicts, POSITIVE)
    if planned is None and joint is None and not rows:
        return None
    extra = planned.extra if planned else 0.0
    state: State = joint.verdict if joint else "not measured"
    work = f"{100 * extra:g}{NBSP}% of extra work" if extra else "Extra work"
    found = sum(row.verdict == "supported" for row in rows)
    said = {
        "supported": f"{work} was found in {found} of {len(rows)} metrics, in every family.",
        "refuted": f"{work} was done and not found, so a loss of that size would not be either.",
        "inconclusive": f"{work} was found in {found} of {len(rows)} metrics; where it was not, this run was "
        "too noisy to see a loss of that size.",
        "not measured": "This run has no verdict on its positive control.",
    }
    faults = (
        f"{metric_words(row.metric)}: {share(row.estimate)} ({span(row)}) where {share(1 / (1 + extra))} "
        "was expected"
        for row in rows
        if row.verdict == "refuted"
    )
    return Control(
        state=state,
        word=POSITIVE_WORD[state],
        sentence=said[state],
        joint=joint,
        rows=rows,
        faults=tuple(faults),
        expected=1 / (1 + extra),
    )


def failure(run: Run, verdicts: Iterable[Verdict]) -> str:
    """What stands in place of a result where a control failed, or ""."""
    rows = tuple(verdicts)
    failed = [
        f"the {name} control failed: {_some(control.faults) or _reason(control)}"
        for name, control in (("negative", negative(run, rows)), ("positive", positive(run, rows)))
        if control is not None and control.state == "refuted"
    ]
    return f"RUN INVALID: {'; and '.join(failed)}. Nothing here counts." if failed else ""


def joined(verdicts: Iterable[Verdict], claim: str) -> tuple[Verdict | None, tuple[Verdict, ...]]:
    """The row over all metrics of a control, and its other rows."""
    rows = [row for row in verdicts if row.claim == claim]
    joint = next((row for row in rows if row.metric in (JOINT, ALL)), None)
    return joint, tuple(row for row in rows if row is not joint)


def span(row: Verdict) -> str:
    """The interval of a ratio as text."""
    return f"{share(row.low)} to {share(row.high)}"


def _some(faults: tuple[str, ...]) -> str:
    more = len(faults) - MOST_NAMED
    return "; ".join((*faults[:MOST_NAMED], *((f"and {more} more",) if more > 0 else ())))


def _reason(control: Control) -> str:
    return control.joint.reason if control.joint else ""
