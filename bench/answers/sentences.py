"""Which number answers each sentence under test for each system, picked from the verdict rows.

Nothing is judged here. What a run was not asked (`--families`, `--backends`, the profile) is not a lack of
its answers: `Answer.left_out` names it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from bench.answers.metric_names import plain_metric
from bench.answers.words import NBSP, digits, limit, quantity, share
from bench.claims import Claim, Claims
from bench.model import ALL, INSTRUMENT, Run, State, Verdict

AT_MOST = ("quantile", "absolute")
"""Kinds of claim that are about a value of at most so much; the others are about a ratio of at least."""

WORST_FIRST: tuple[State, ...] = ("refuted", "inconclusive", "not measured", "supported")

DECIDED: tuple[State, ...] = ("supported", "refuted")

_DAY = 24 * 60.0
"""Minutes beyond which nobody can say how long a verdict takes."""

Word = Literal["supported", "refuted", "inconclusive", "not measured", "not asked"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one sentence for one system.

    arm: ALL where the sentence is about no system in particular. baseline: what it was compared with, or "".
    row: the deciding metric that is worst (refuted before open before supported), with its own estimate and
    interval; None where no number was found. rows: those of all deciding metrics, the worst first.
    asked: deciding metrics that the run was asked for; left_out: those it was not. A sentence about all of
    them together is supported here if all that were asked for are.
    reason: why there is no answer, or why it is open; the judge's notes in one line.
    """

    arm: str
    baseline: str
    state: Word
    row: Verdict | None
    rows: tuple[Verdict, ...]
    asked: tuple[str, ...]
    left_out: tuple[str, ...]
    reason: str

    @property
    def decided(self) -> int:
        """How many of the deciding metrics have a verdict."""
        return sum(row.verdict in DECIDED for row in self.rows)

    @property
    def measured(self) -> tuple[str, ...]:
        """The deciding metrics that were measured, the worst first."""
        names = (plain_metric(row.metric) for row in self.rows if row.verdict != "not measured")
        return tuple(dict.fromkeys(names))

    @property
    def in_part(self) -> bool:
        """Whether it is supported by some of the sentence's metrics, where others were not measured."""
        return self.state == "supported" and not {*self.asked, *self.left_out} <= {*self.measured}

    @property
    def tally(self) -> dict[State, int]:
        """Deciding metrics by verdict, the worst first."""
        counted = Counter(row.verdict for row in self.rows)
        return {state: counted[state] for state in WORST_FIRST if counted[state]}


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence under test with an answer for each system, in the plan's order, emulated ones last."""

    claim: Claim
    answers: tuple[Answer, ...]

    def of(self, arm: str) -> Answer | None:
        """The answer for a system, or None where the sentence does not speak of it."""
        return next((answer for answer in self.answers if answer.arm == arm), None)


def sentences(run: Run, claims: Claims, verdicts: Iterable[Verdict]) -> tuple[Sentence, ...]:
    """Every sentence of the claims file, then those that only the verdicts know and that were measured."""
    skip = run.plan.controls | {run.plan.baseline}
    given: dict[str, list[Verdict]] = {}
    for row in verdicts:
        if row.arm not in skip and row.claim not in INSTRUMENT:
            given.setdefault(row.claim, []).append(row)
    known = {claim.id: claim for claim in claims.claim}
    others = [
        Claim(id=name, sentence=name, kind="ratio")
        for name, rows in given.items()
        if name not in known and any(row.verdict != "not measured" for row in rows)
    ]
    return tuple(
        Sentence(claim=claim, answers=_answers(run, claim, given.get(claim.id, [])))
        for claim in (*known.values(), *others)
    )


def _answers(run: Run, claim: Claim, rows: list[Verdict]) -> tuple[Answer, ...]:
    planned = run.plan.arm
    kinds = {name: arm.kind for name, arm in planned.items()}
    beside = {claim.baseline_backend, *claim.baselines}
    rows = [row for row in rows if row.verdict != "not measured" or _is_due(claim, row.arm, beside)]
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for row in sorted(rows, key=lambda row: row.verdict == "not measured"):
        key = (row.arm, row.baseline)
        if row.verdict == "not measured" and key not in groups:  # a gap names no baseline, or one nobody has
            key = next((other for other in groups if other[0] == row.arm), key)
        groups.setdefault(key, []).append(row)
    there = {arm for arm, _ in groups}
    for name in run.plan.systems if ALL not in there else ():
        spoken = claim.speaks_of(name, kinds[name]) or claim.speaks_of(planned[name].backend)
        if spoken and name not in there:  # what it is compared with is not there
            groups[name, ""] = []
    rank = {name: place for place, name in enumerate(planned)}

    emulated = {arm.name for arm in run.plan.arms if arm.emulated}

    def order(key: tuple[str, str]) -> tuple[bool, int, tuple[str, str]]:
        return bool(emulated.intersection(key)), rank.get(key[0], len(rank)), key

    return tuple(_answer(run, claim, key, groups[key]) for key in sorted(groups, key=order))


def _is_due(claim: Claim, arm: str, beside: set[str]) -> bool:
    """Whether a gap is about an arm that the sentence speaks of, not about what that is compared with."""
    return arm == ALL or arm not in beside or claim.speaks_of(arm)


def _answer(run: Run, claim: Claim, key: tuple[str, str], rows: list[Verdict]) -> Answer:
    arm, baseline = key
    asked = _Asked(run)
    required = claim.required(run.plan.arm[arm].kind if arm in run.plan.arm else None)
    due = tuple(name for name in required if asked.metric(name, arm))
    whole = next((row for row in rows if row.metric == ALL), None)
    deciding = _deciding(claim, rows, due)
    measured = [row for row in deciding if row.verdict != "not measured"]
    state = _state(whole, measured, due, required)
    if state == "not measured" and not asked.answer(claim, arm, due):
        state = "not asked"
    worst = next((row for row in deciding if row.estimate is not None), None)
    told = [*((whole,) if whole and whole.verdict == state else ()), *deciding, *rows]
    return Answer(
        arm=arm,
        baseline=baseline,
        state=state,
        row=worst,
        rows=tuple(deciding),
        asked=due,
        left_out=tuple(name for name in required if name not in due),
        reason="; ".join(told[0].notes) if told else asked.lacks(claim),
    )


def _deciding(claim: Claim, rows: Sequence[Verdict], due: Sequence[str]) -> list[Verdict]:
    """One row a deciding metric, the worst first; what was not asked for is not a gap."""
    primary = [row for row in rows if row.metric != ALL and _decides(claim, row)]
    measured = {plain_metric(row.metric) for row in primary if row.verdict != "not measured"}
    kept = [
        row
        for row in primary
        if row.verdict != "not measured"
        or (plain_metric(row.metric) in due and plain_metric(row.metric) not in measured)
    ]
    return sorted(kept, key=lambda row: (WORST_FIRST.index(row.verdict), goodness(claim, row.estimate)))


def _decides(claim: Claim, row: Verdict) -> bool:
    return not claim.primary or plain_metric(row.metric) in claim.primary


def _state(
    whole: Verdict | None, measured: Sequence[Verdict], due: Sequence[str], required: Sequence[str]
) -> Word:
    """The judge's, where it joined all metrics and lacks none that was asked for; else the worst."""
    if whole is None or whole.verdict == "not measured":
        return measured[0].verdict if measured else "not measured"
    held = all(row.verdict == "supported" for row in measured)
    held = held and {plain_metric(row.metric) for row in measured}.issuperset(due)
    in_part = whole.verdict == "inconclusive" and held and bool(measured) and len(due) < len(required)
    return "supported" if in_part else whole.verdict


class _Asked:
    """What a run was asked to measure: what its plan has, and what it says that it lacks."""

    def __init__(self, run: Run) -> None:
        self._gaps = run.not_measured  # names arms, or the backend where none could be planned
        self._metrics = {metric.name for metric in run.plan.metrics}
        self._systems = {*run.plan.arm, *(arm.backend for arm in run.plan.arms)}

    def metric(self, name: str, arm: str) -> bool:
        lacked = (gap.metric for gap in self._gaps if gap.metric and gap.arm == arm)
        return name in self._metrics or any(f"{name}.".startswith(f"{gap}.") for gap in lacked)

    def answer(self, claim: Claim, arm: str, due: Sequence[str]) -> bool:
        """Whether an answer that is missing was asked for. What names no metric is asked of every run."""
        if not claim.primary:
            return True
        beside = {claim.baseline_backend, *claim.baselines}
        systems = self._systems | {gap.arm for gap in self._gaps}
        return bool(due) and arm in systems and bool(beside & systems)

    def lacks(self, claim: Claim) -> str:
        """Why there is nothing to compare with."""
        beside = {claim.baseline_backend, *claim.baselines}
        return next((gap.reason for gap in self._gaps if gap.arm in beside and not gap.metric), "")


def reach(row: Verdict) -> str:
    """How far away a row is that the run gave up, for people; "" for every other row."""
    if not row.out_of_reach:
        return ""
    minutes = minutes_to(row)
    if minutes is None:
        return "out of reach here"
    return f"out of reach here: about {max(1, round(minutes)):,}{NBSP}min of measuring it alone"


def minutes_to(row: Verdict) -> float | None:
    """Minutes of measuring it alone that would settle a row that the run gave up; None: not in sight."""
    return None if row.minutes is None or row.minutes > _DAY else row.minutes


def goodness(claim: Claim | None, estimate: float | None) -> float:
    """Orders estimates, the best one highest; what has none comes last."""
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
    """The interval as text, its unit once; each of its ends holds with the verdict's own confidence.

    A ratio or a time of at least 0 says nothing and is left out, and so is an interval of one number.
    """
    absolute = claim is not None and claim.kind == "absolute"
    low = amount(claim, verdict.low if verdict.low or absolute else None)
    high = amount(claim, verdict.high)
    if low and high:
        return "" if low == high == amount(claim, verdict.estimate) else _span(low, high)
    return f"at least {low}" if low else f"at most {high}" if high else ""


def _span(low: str, high: str) -> str:
    number, gap, unit = low.partition(NBSP)
    return f"{number if gap and high.endswith(NBSP + unit) else low} to {high}"


def bound(claim: Claim) -> str:
    """The claim's limit as text: `at least 99 %`, `at most 1 s`; empty where it has none."""
    if claim.margin is None:
        return ""
    return f"at {'most' if claim.kind in AT_MOST else 'least'} {limit(amount(claim, claim.margin))}"
