"""The sentence at the top of the page and its conditions; a failed control takes its place."""

from __future__ import annotations

import msgspec

from bench.claims import Claim
from bench.model import ALL, State, Verdict
from reports.arms import AGAIN, NND, RUNTIME
from reports.controls import controls
from reports.load import Evidence
from reports.names import metric_words, plain_metric
from reports.verdicts import ClaimView, claim_views
from reports.words import NBSP, count, day, digits, listed, quantity, scale, share

START, SPEED = "startup.median", "performance"
"""The two claims that the headline speaks of; all others have their own line."""

FIRST = "startup.first_instruction"

_UNITS = {"s": "seconds", "ms": "milliseconds", "µs": "microseconds"}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The clause about one of the two claims: what was found, or the question that stays open."""

    state: State
    found: str = ""
    question: str = ""

    def __str__(self) -> str:
        return self.found or f"{self.question} could not be settled"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One claim in one line: the sentence under test, of what system, and its state."""

    claim: str
    sentence: str
    about: str
    state: State


class Banner(msgspec.Struct, frozen=True, kw_only=True):
    """What may be quoted, under `conditions`, which are part of the quotation. `state` colours it."""

    state: State
    sentence: str
    conditions: str
    lines: tuple[Line, ...]
    unmeasured: int


def banner(evidence: Evidence) -> Banner:
    """One sentence, true under its conditions, or why there cannot be one; then a line for each claim."""
    subject = _subject(evidence)
    refusal = _refusal(evidence)
    views = () if refusal else claim_views(evidence)
    lines = tuple(line for view in views for line in _lines(evidence, view, subject))
    spoken = [line for line in lines if line.claim in (START, SPEED)]
    daemons = [evidence.legend.label(one) for one in _daemons(evidence, subject)]
    # A quick run leaves most of a daemon's performance open, which alone says nothing against the containers.
    states = {line.state for line in spoken if line.about not in daemons or line.state == "refuted"}
    states = states or {line.state for line in lines}
    order: tuple[State, ...] = ("refuted", "inconclusive", "supported")
    state: State = next((state for state in order if state in states), "not measured")
    return Banner(
        state="refuted" if controls(evidence).failure else state,
        sentence=refusal or _sentence(evidence, subject),
        conditions=conditions(evidence),
        lines=lines,
        unmeasured=len({view.id for view in views} - {line.claim for line in lines}),
    )


def _daemons(evidence: Evidence, subject: str) -> tuple[str, ...]:
    """The daemons through which users get our runtime's containers: their lines stand beside its own."""
    legend = evidence.legend
    return legend.of_backend(NND) if subject in legend.of_backend(RUNTIME) else ()


def _is_again(evidence: Evidence, subject: str) -> bool:
    return subject in evidence.legend.of_backend(AGAIN)


def _lines(evidence: Evidence, view: ClaimView, subject: str) -> list[Line]:
    """What was found about the subject, or about no system in particular; gaps are only counted."""
    about = (subject, ALL, *_daemons(evidence, subject))
    shown = [one for one in view.opinions if one.arm in about and one.state != "not measured"]
    usual = "" if _is_again(evidence, subject) else evidence.legend.label(subject)
    return [
        Line(
            claim=view.id,
            sentence=view.sentence,
            about=one.system if one.system != usual else "",
            state=one.state,
        )
        for one in shown
    ]


def _refusal(evidence: Evidence) -> str:
    run, found = evidence.run, controls(evidence)
    if run.plan.profile == "smoke":
        return "A smoke run: it shows that every part works, and gives no verdict."
    if not evidence.verdicts:
        return "Measured, but not judged: there is no verdict yet."
    if found.failure:
        return found.failure
    if run.status == "failed":
        return "This run failed before its end: below is what it left, and no verdict stands on it."
    if found.negative.state == "inconclusive":
        return "No verdict: the control, two copies of the same arm, could not be judged in this run."
    return ""


def _subject(evidence: Evidence) -> str:
    """The system the headline is about: our runtime, or the first measured one that is not emulated."""
    judged = {row.arm for row in evidence.verdicts if row.verdict != "not measured"}
    others = [arm for arm in evidence.arms if arm in judged and not evidence.legend.is_emulated(arm)]
    spoken = [arm for arm in others if arm in evidence.systems]
    ours = [arm for arm in evidence.legend.of_backend(RUNTIME) if arm in judged]
    return next(iter([*ours, *spoken]), RUNTIME)


def _sentence(evidence: Evidence, subject: str) -> str:
    who = _noun(evidence, subject)
    start = _start(evidence, subject, who)
    speed = _speed(evidence, subject, "it" if start else who)
    parts = [part for part in (start, speed) if part is not None]
    if not parts:
        return f"No claim about {evidence.legend.label(subject)} could be judged."
    states = {part.state for part in parts}
    if states == {"inconclusive"} and len(parts) == 2:
        return f"This run could settle neither {parts[0].question} nor {parts[1].question}."
    joint = " and " if len(states) == 1 else ", but " if "refuted" in states else "; "
    whole = joint.join(map(str, parts))
    return f"{whole[:1].upper()}{whole[1:]}."


def _noun(evidence: Evidence, subject: str) -> str:
    if _is_again(evidence, subject):
        return "the host, measured once more as if it were a system,"
    return "a virtual machine" if evidence.legend.is_vm(subject) else "a container"


def _start(evidence: Evidence, subject: str, who: str) -> Part | None:
    rows = _of(evidence, START, subject)
    whole = _whole(rows)
    if whole is None or whole.verdict == "not measured":
        return None
    timed = _timed(rows)
    claim = _claim(evidence, START)
    if whole.verdict == "inconclusive" or timed is None or claim is None:
        return Part(state="inconclusive", question=f"whether {who} starts within a second")
    if whole.verdict == "supported":
        took = _spelled(timed.estimate, claim.unit)
        median = f"median{_by_daemons(evidence, subject, claim)}"
        return Part(state="supported", found=f"{who} started its program in {took} ({median})")
    worst = max(
        (row for row in rows if row.verdict == "refuted" and row.estimate is not None),
        key=lambda row: row.estimate or 0.0,
        default=timed,
    )
    took = _spelled(worst.estimate, claim.unit)
    found = f"{who} did not start within a second: half the starts took more than {took}"
    return Part(state="refuted", found=found)


def _by_daemons(evidence: Evidence, subject: str, claim: Claim) -> str:
    """How long a start through a daemon took, where that was measured."""
    timed = {one: _timed(_of(evidence, START, one)) for one in _daemons(evidence, subject)}
    return "".join(
        f"; {_spelled(row.estimate, claim.unit)} through {one}" for one, row in timed.items() if row
    )


def _timed(rows: list[Verdict]) -> Verdict | None:
    """The row of starts back to back."""
    timed = (row for row in rows if plain_metric(row.metric) == FIRST and row.estimate is not None)
    return next(timed, None)


def _spelled(value: float | None, unit: str) -> str:
    if value is None:
        return quantity(value, unit)
    factor, short = scale(unit, value)
    return f"{digits(value * factor)}{NBSP}{_UNITS.get(short, short)}"


def _speed(evidence: Evidence, subject: str, who: str) -> Part | None:
    rows = _of(evidence, SPEED, subject)
    whole = _whole(rows)
    if whole is None or whole.verdict == "not measured":
        return None
    what = f"99{NBSP}% of the host's CPU, memory and network performance"
    if whole.verdict == "supported":
        return Part(state="supported", found=f"{who} gave the program {what}")
    if whole.verdict == "refuted":
        return Part(state="refuted", found=f"{who} did not give {what}: {_worst(evidence, rows)}")
    return Part(state="inconclusive", question=f"whether {who} gives {what}")


def _worst(evidence: Evidence, rows: list[Verdict]) -> str:
    claim = _claim(evidence, SPEED)
    primary = [row for row in rows if claim is None or claim.role_of(row.metric) == "primary"]
    refuted = [row for row in primary if row.verdict == "refuted" and row.estimate is not None]
    if not refuted:
        return "the table says where"
    worst = min(refuted, key=lambda row: row.estimate or 0.0)
    return f"{share(worst.estimate)} at worst ({metric_words(worst.metric)})"


def _of(evidence: Evidence, claim: str, arm: str) -> list[Verdict]:
    return [row for row in evidence.verdicts if row.claim == claim and row.arm == arm]


def _claim(evidence: Evidence, name: str) -> Claim | None:
    return next((claim for claim in evidence.claims.claim if claim.id == name), None)


def _whole(rows: list[Verdict]) -> Verdict | None:
    """The row for all primary metrics together; a claim with a single row is its own whole."""
    found = next((row for row in rows if row.metric == ALL), None)
    return found or (rows[0] if len(rows) == 1 else None)


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
