"""The top of the page: the sentence, its conditions, what limits it, and every sentence for every system."""

from __future__ import annotations

import msgspec

from bench.answers import headline
from bench.answers.instrument import positive
from bench.answers.metric_names import metric_words, plain_metric
from bench.answers.sentences import Answer, Sentence, Word, amount, between, bound
from bench.answers.words import count, day, listed, quantity
from bench.model import ALL, State
from reports.controls import copies
from reports.load import Evidence


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: a number with its interval, the metric that decides it, and how far the answer goes."""

    state: Word
    number: str
    span: str
    what: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence. cells: one a system, None where it does not speak of it; whole: of no system alone."""

    claim: str
    name: str
    bound: str
    cells: tuple[Cell | None, ...]
    whole: Cell | None


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Sentences × systems.

    not_asked, not_measured: sentences without a row; absent: systems without a column.
    """

    systems: tuple[str, ...]
    rows: tuple[Row, ...]
    not_asked: tuple[str, ...]
    not_measured: tuple[str, ...]
    absent: tuple[str, ...]


class Banner(msgspec.Struct, frozen=True, kw_only=True):
    """What may be quoted, under `conditions`, which are part of the quotation. `state` colours it."""

    state: State
    sentence: str
    conditions: str
    limits: tuple[tuple[State, str], ...]
    matrix: Matrix | None


def banner(evidence: Evidence) -> Banner:
    """One sentence, true under its conditions, or why there cannot be one; then every answer."""
    said = headline.headline(evidence.run, evidence.claims, evidence.verdicts)
    return Banner(
        state=said.state,
        sentence=said.text,
        conditions=conditions(evidence),
        limits=_limits(evidence),
        matrix=_matrix(evidence) if said.valid else None,
    )


def _limits(evidence: Evidence) -> tuple[tuple[State, str], ...]:
    """(state, a sentence) of each control."""
    if not evidence.verdicts:
        return ()
    alike, sentence = copies(evidence)
    extra = positive(evidence.run, evidence.verdicts)
    return ((alike.state, sentence), *(((extra.state, extra.sentence),) if extra else ()))


def _matrix(evidence: Evidence) -> Matrix:
    legend = evidence.legend
    systems = sorted(evidence.run.plan.systems, key=legend.is_emulated)
    rows = [_row(evidence, sentence, systems) for sentence in evidence.sentences]
    gone = {gap.arm for gap in evidence.run.not_measured if not gap.metric} - set(systems)
    return Matrix(
        systems=tuple(map(legend.label, systems)),
        rows=tuple(row for row in rows if _states(row) - {"not asked", "not measured"}),
        not_asked=tuple(row.name for row in rows if _states(row) <= {"not asked"}),
        not_measured=tuple(
            row.name
            for row in rows
            if "not measured" in _states(row) and _states(row) <= {"not asked", "not measured"}
        ),
        absent=tuple(sorted(map(legend.label, gone))),
    )


def _states(row: Row) -> set[str]:
    return {cell.state for cell in (*row.cells, row.whole) if cell is not None}


def _row(evidence: Evidence, sentence: Sentence, systems: list[str]) -> Row:
    whole = sentence.of(ALL)
    answers = {answer.arm: answer for answer in reversed(sentence.answers)}
    return Row(
        claim=sentence.claim.id,
        name=sentence.claim.short or sentence.claim.sentence,
        bound=bound(sentence.claim),
        cells=tuple(_cell(sentence, answers[arm]) if arm in answers else None for arm in systems),
        whole=_cell(sentence, whole) if whole else None,
    )


def _cell(sentence: Sentence, answer: Answer) -> Cell:
    several = len(sentence.claim.primary) > 1
    row = answer.row
    words = metric_words(plain_metric(row.metric)) if several and row else ""
    part = extent(answer) if several and (answer.state != "supported" or answer.in_part) else ""
    parts = (words, part)
    return Cell(
        state=answer.state,
        number=amount(sentence.claim, row.estimate) if row else "",
        span=between(sentence.claim, row) if row else "",
        what="; ".join(part for part in parts if part),
    )


def extent(answer: Answer) -> str:
    """How many deciding metrics stand behind an answer: `3 of 11 metrics supported, 2 not asked for`."""
    if answer.state in ("not asked", "not measured"):
        return ""
    good = answer.tally.get("supported", 0)
    asked = f"{good} of {count(len(answer.asked), 'metric')} supported"
    return f"{asked}, {len(answer.left_out)} not asked for" if answer.left_out else asked


def conditions(evidence: Evidence) -> str:
    """Where, when and how: without these the sentence above must not be quoted."""
    run, host = evidence.run, evidence.run.host
    machine = (
        f"{count(host.cpus, 'CPU')} ({host.cpu_model}), {quantity(host.memory_bytes, 'bytes')} of memory"
    )
    sessions = count(run.sessions_run or run.plan.sessions, "session")
    legend = evidence.legend
    guests = listed([legend.label(arm) for arm in evidence.arms if legend.is_vm(arm)])
    cut = " Interrupted before its end." if run.status in ("interrupted", "running") else ""
    return (
        f"Measured on {day(run.started)} on one machine: {machine}, {host.distribution}, "
        f"Linux {host.kernel}. "
        f"Profile {run.plan.profile}, {sessions} of fresh instances."
        f"{f' Virtual machines: {guests}.' if guests else ''}{cut}"
    )
