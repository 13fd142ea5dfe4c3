"""The controls of a run: may the instrument be believed, and if not, which one failed and by how much."""

from __future__ import annotations

import msgspec

from bench.answers import instrument
from bench.answers.instrument import POSITIVE_WORD, Control, span
from bench.answers.metric_names import metric_words
from bench.answers.resolution import resolution
from bench.answers.sentences import WORST_FIRST
from bench.answers.words import NBSP, count, listed, share
from bench.model import ALL, CLOCK, State, Verdict
from reports.arms import Legend
from reports.load import Evidence
from reports.panels import TextTable

DISAGREE = 0.01
"""A clock or a tool's own figure that is off by more than the 1 % under test is shown as a disagreement."""

_FAMILIES = {"cpu": "CPU", "startup": "start-up"}


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
    """All of them; positive: None without such an arm."""

    negative: ControlView
    positive: ControlView | None
    clock: ControlView | None


def controls(evidence: Evidence) -> Controls:
    """What the rows of the controls and of the clock checks say."""
    return Controls(negative=_negative(evidence), positive=_positive(evidence), clock=_clock(evidence))


def copies(evidence: Evidence) -> tuple[Control, str]:
    """The A/A control, its sentence, and what its silence is worth."""
    control = instrument.negative(evidence.run, evidence.verdicts)
    seen = resolution(control, evidence.claims) if control.state == "supported" else None
    if seen is None:
        return control, control.sentence
    of = f"half of the {len(seen.sizes)} metrics that decide" if seen.decide else "half of its metrics"
    best = f", in the best one of {share(seen.sizes[0])}" if len(seen.sizes) > 1 else ""
    return control, f"{control.sentence} In {of} it could have found one of {share(seen.half)}{best}."


def _view(control: Control, sentence: str, groups: tuple[str, ...], table: TextTable | None) -> ControlView:
    return ControlView(
        state=control.state,
        word=control.word,
        sentence=sentence,
        reason=control.joint.reason if control.joint else "",
        faults=control.faults,
        groups=groups,
        table=table,
    )


def _negative(evidence: Evidence) -> ControlView:
    control, sentence = copies(evidence)
    pairs = {row: _pair(evidence.legend, row) for row in control.rows}
    cells = tuple(
        (metric_words(row.metric), pairs[row], share(row.estimate), span(row), row.reason)
        for row in control.rows
        if row.estimate is not None
    )
    head = ("metric", "pair", "second copy, first = 100 %", "interval", "alone")
    groups = tuple(
        _pair_line(pair, [row for row in control.rows if pairs[row] == pair])
        for pair in dict.fromkeys(pairs.values())
    )
    return _view(control, sentence, groups, TextTable(head, cells) if cells else None)


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
    control = instrument.positive(evidence.run, evidence.verdicts)
    if control is None:
        return None
    expected = share(control.expected)
    rows = sorted(control.rows, key=lambda row: (_family(row), WORST_FIRST.index(row.verdict)))
    cells = tuple(
        (
            _family(row),
            metric_words(row.metric),
            expected,
            f"{share(row.estimate)} ({span(row)})",
            POSITIVE_WORD[row.verdict],
            row.reason,
        )
        for row in rows
    )
    head = ("family", "metric", "expected", "found, host = 100 %", "verdict", "why")
    groups = tuple(_family_line(family, rows, expected) for family in dict.fromkeys(map(_family, rows)))
    return _view(control, control.sentence, groups, TextTable(head, cells) if cells else None)


def _family(row: Verdict) -> str:
    name = row.metric.partition(".")[0]
    return _FAMILIES.get(name, name)


def _family_line(family: str, rows: list[Verdict], expected: str) -> str:
    mine = [row for row in rows if _family(row) == family]
    words = [POSITIVE_WORD[row.verdict] for row in mine]
    tally = ", ".join(f"{word} in {words.count(word)}" for word in dict.fromkeys(words))
    found = "; ".join(f"{metric_words(row.metric)} {share(row.estimate)} ({span(row)})" for row in mine[:2])
    rest = f"; and {len(mine) - 2} more" if len(mine) > 2 else ""
    return f"{family}: {tally} of {count(len(mine), 'metric')}; expected {expected}, seen: {found}{rest}"


def _clock(evidence: Evidence) -> ControlView | None:
    rows = [row for row in evidence.verdicts if row.claim == CLOCK]
    if not rows:
        return None
    off = [row for row in rows if _disagrees(row)]
    state: State = "inconclusive" if off else max((row.verdict for row in rows), key=_CLOCK_ORDER.index)
    where = listed(list(dict.fromkeys(evidence.legend.label(row.arm) for row in off)))
    figures = sum(row.metric != ALL for row in off) or len(off)
    sentence = (
        f"{count(figures, 'figure')} off the host's own by more than 1{NBSP}%, of {where}."
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
    head = ("figure", "system", "own figure, host's = 1", "interval", "verdict", "why")
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
