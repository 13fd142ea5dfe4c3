"""The controls of a run: may the instrument be believed, and if not, which one failed and by how much."""

from __future__ import annotations

import msgspec

from bench.model import AA, ALL, CLOCK, JOINT, POSITIVE, State, Verdict
from reports.arms import Legend
from reports.load import Evidence
from reports.names import metric_words
from reports.panels import TextTable
from reports.verdicts import WORST_FIRST
from reports.words import NBSP, count, share

DISAGREE = 0.01
"""A clock or a tool's own figure that is off by more than the 1 % under test is shown as a disagreement."""

MOST_NAMED = 3
"""Faults named in a sentence; the table below it has them all."""

_FAMILIES = {"cpu": "CPU", "startup": "start-up"}
_NEGATIVE = {
    "supported": "Two copies of one arm, measured like any other pair, could not be told apart.",
    "refuted": "Two copies of one arm differ, so the instrument cannot be trusted in this run.",
    "inconclusive": "This run cannot tell whether two copies of one arm differ.",
    "not measured": "This run has no verdict on its A/A control.",
}
_POSITIVE = {
    "supported": "Extra work that was really done was found in every family.",
    "refuted": "Extra work that was really done was not found, so a loss of that size would not be either.",
    "inconclusive": "This run lacked the power to find the extra work in every family.",
    "not measured": "This run has no verdict on its positive control.",
}
_NEGATIVE_WORD: dict[State, str] = {
    "supported": "passed",
    "refuted": "failed",
    "inconclusive": "not decided",
    "not measured": "not measured",
}
_POSITIVE_WORD: dict[State, str] = {
    "supported": "found",
    "refuted": "failed",
    "inconclusive": "lacked power",
    "not measured": "not measured",
}


class ControlView(msgspec.Struct, frozen=True, kw_only=True):
    """One control: its state in a word and a sentence, what is wrong and by how much, and the rows behind it.

    groups: a line for each pair of arms (negative) or family (positive). table: None where there are no rows.
    """

    state: State
    word: str
    sentence: str
    reason: str = ""
    faults: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    table: TextTable | None = None


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; positive: None without such an arm. failure: the head of an invalid page, or ""."""

    negative: ControlView
    positive: ControlView | None
    clock: ControlView | None
    failure: str


def controls(evidence: Evidence) -> Controls:
    """What the rows of the controls and of the clock checks say."""
    negative, positive = _negative(evidence), _positive(evidence)
    failed = [
        f"the {name} control failed: {_some(control.faults) or control.reason}"
        for name, control in (("negative", negative), ("positive", positive))
        if control is not None and control.state == "refuted"
    ]
    failure = f"RUN INVALID: {'; and '.join(failed)}. Nothing here counts." if failed else ""
    return Controls(negative=negative, positive=positive, clock=_clock(evidence), failure=failure)


def _rows(evidence: Evidence, claim: str) -> tuple[Verdict | None, list[Verdict]]:
    """The row over all metrics, and the others."""
    rows = [row for row in evidence.verdicts if row.claim == claim]
    joint = next((row for row in rows if row.metric in (JOINT, ALL)), None)
    return joint, [row for row in rows if row is not joint]


def _some(faults: tuple[str, ...]) -> str:
    more = len(faults) - MOST_NAMED
    return "; ".join((*faults[:MOST_NAMED], *((f"and {more} more",) if more > 0 else ())))


def _span(row: Verdict) -> str:
    return f"{share(row.low)} to {share(row.high)}"


def _negative(evidence: Evidence) -> ControlView:
    joint, rows = _rows(evidence, AA)
    state: State = joint.verdict if joint else "not measured"
    guilty = [row for row in rows if row.verdict == "refuted"]
    pairs = {row: _pair(evidence.legend, row) for row in rows}
    faults = [
        f"{metric_words(row.metric)} of {pairs[row]}: {share(row.estimate)} ({_span(row)}) where "
        f"100{NBSP}% was expected"
        for row in guilty
    ]
    if state == "refuted" and joint is not None and not faults and joint.estimate is not None:
        faults.append(f"all metrics together: {share(joint.estimate)} ({_span(joint)})")
    shown = [row for row in rows if row.estimate is not None]
    cells = tuple(
        (metric_words(row.metric), pairs[row], share(row.estimate), _span(row), row.reason) for row in shown
    )
    head = ("metric", "pair", "second copy, first = 100 %", "interval", "alone")
    return ControlView(
        state=state,
        word=_NEGATIVE_WORD[state],
        sentence=_NEGATIVE[state],
        reason=joint.reason if joint else "",
        faults=tuple(faults),
        groups=tuple(
            _pair_line(pair, [row for row in rows if pairs[row] == pair])
            for pair in dict.fromkeys(pairs.values())
        ),
        table=TextTable(head, cells) if cells else None,
    )


def _pair(legend: Legend, row: Verdict) -> str:
    return f"{legend.label(row.arm)} beside {legend.label(row.baseline)}"


def _pair_line(pair: str, mine: list[Verdict]) -> str:
    states = [row.verdict for row in mine]
    parts = (
        f"{states.count('supported')} equal within the margin",
        f"{states.count('inconclusive')} with an interval too wide to say so"
        if "inconclusive" in states
        else "",
        f"{states.count('refuted')} that differ" if "refuted" in states else "",
    )
    return f"{pair}: {count(len(mine), 'metric')}, {', '.join(part for part in parts if part)}"


def _positive(evidence: Evidence) -> ControlView | None:
    planned = evidence.run.plan.positive
    joint, rows = _rows(evidence, POSITIVE)
    if planned is None and joint is None and not rows:
        return None
    expected = share(1 / (1 + planned.extra)) if planned else share(None)
    state: State = joint.verdict if joint else "not measured"
    rows = sorted(rows, key=lambda row: (_family(row), WORST_FIRST.index(row.verdict)))
    faults = tuple(
        f"{metric_words(row.metric)}: {share(row.estimate)} ({_span(row)}) where {expected} was expected"
        for row in rows
        if row.verdict == "refuted"
    )
    cells = tuple(
        (
            _family(row),
            metric_words(row.metric),
            expected,
            f"{share(row.estimate)} ({_span(row)})",
            _POSITIVE_WORD[row.verdict],
            row.reason,
        )
        for row in rows
    )
    head = ("family", "metric", "expected", "found, host = 100 %", "", "why")
    return ControlView(
        state=state,
        word=_POSITIVE_WORD[state],
        sentence=_POSITIVE[state],
        reason=joint.reason if joint else "",
        faults=faults,
        groups=tuple(_family_line(family, rows, expected) for family in dict.fromkeys(map(_family, rows))),
        table=TextTable(head, cells) if cells else None,
    )


def _family(row: Verdict) -> str:
    name = row.metric.partition(".")[0]
    return _FAMILIES.get(name, name)


def _family_line(family: str, rows: list[Verdict], expected: str) -> str:
    mine = [row for row in rows if _family(row) == family]
    words = [_POSITIVE_WORD[row.verdict] for row in mine]
    tally = ", ".join(f"{word} in {words.count(word)}" for word in dict.fromkeys(words))
    found = "; ".join(f"{metric_words(row.metric)} {share(row.estimate)} ({_span(row)})" for row in mine[:2])
    rest = f"; and {len(mine) - 2} more" if len(mine) > 2 else ""
    return f"{family}: {tally} of {count(len(mine), 'metric')}; expected {expected}, seen: {found}{rest}"


def _clock(evidence: Evidence) -> ControlView | None:
    rows = [row for row in evidence.verdicts if row.claim == CLOCK]
    if not rows:
        return None
    off = [row for row in rows if _disagrees(row)]
    state: State = "refuted" if off else max((row.verdict for row in rows), key=_CLOCK_ORDER.index)
    sentence = (
        f"{count(len(off), 'figure')} of {len(rows)} off by more than 1{NBSP}% from the host's own."
        if off
        else "Guests' clocks and the tools' own figures agree with the host's."
        if state == "supported"
        else f"No disagreement found, but some figures are too noisy to say that they agree to 1{NBSP}%."
    )
    cells = tuple(
        (
            "all its tools' figures, the widest" if row.metric == ALL else metric_words(row.metric),
            evidence.legend.label(row.arm),
            "–" if row.estimate is None else f"{row.estimate:.4f}",
            "–" if row.low is None or row.high is None else f"{row.low:.4f} to {row.high:.4f}",
            _clock_word(row),
            row.reason,
        )
        for row in sorted(rows, key=lambda row: row not in off)
    )
    head = ("figure", "system", "own figure, host's = 1", "interval", "", "why")
    return ControlView(
        state=state,
        word="disagree" if off else "agree" if state == "supported" else "not decided",
        sentence=sentence,
        table=TextTable(head, cells),
    )


_CLOCK_ORDER: tuple[State, ...] = ("supported", "not measured", "inconclusive", "refuted")


def _disagrees(row: Verdict) -> bool:
    """By the judge's verdict, or where a figure of its own is further off than a verdict could bear.

    The row over all figures of a system shows the widest one, which is noise as long as it is not refuted.
    """
    own = row.metric != ALL and row.estimate is not None
    return row.verdict == "refuted" or (own and abs((row.estimate or 0.0) - 1) > DISAGREE)


def _clock_word(row: Verdict) -> str:
    if row.estimate is None:
        return "could not be read"
    return "disagrees" if _disagrees(row) else "agrees" if row.verdict == "supported" else "cannot tell"
