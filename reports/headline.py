"""The sentence at the top of the page and its conditions; a control that failed takes its place."""

from __future__ import annotations

import msgspec

from bench.claims import Claim
from bench.model import State, Verdict
from reports import arms
from reports.controls import controls
from reports.load import Evidence
from reports.names import metric_words
from reports.verdicts import ALL, ClaimView, claim_views
from reports.words import NBSP, count, day, listed, quantity, share

START, SPEED = "startup.median", "performance"
"""The two claims that the headline speaks of; all others have their own line."""

DAEMONS = {"runtime": ("nnd",)}
"""System → the daemons through which its containers are had: their lines stand beside its own."""

OPEN = " could not be settled"
FIRST = "startup.first_instruction"

_UNITS = {"s": "seconds", "ms": "milliseconds", "µs": "microseconds"}


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
    """One sentence, true under its conditions, or the reason why there is none; then a line a claim."""
    subject = _subject(evidence)
    refusal = _refusal(evidence)
    views = () if refusal else claim_views(evidence)
    lines = tuple(line for view in views for line in _lines(view, subject))
    spoken = [line for line in lines if line.claim in (START, SPEED)]
    daemons = [arms.label(one) for one in DAEMONS.get(subject, ())]
    # A quick run leaves most of a daemon's performance open: that alone casts no doubt on the containers.
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


def _lines(view: ClaimView, subject: str) -> list[Line]:
    """What was found about the subject, or about no system in particular; gaps are only counted."""
    about = (subject, ALL, *DAEMONS.get(subject, ()))
    told = [one for one in view.opinions if one.arm in about and one.state != "not measured"]
    usual = "" if subject == arms.AGAIN else arms.label(subject)
    return [
        Line(
            claim=view.id,
            sentence=view.sentence,
            about=one.system if one.system != usual else "",
            state=one.state,
        )
        for one in told
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
    judged = {row.backend for row in evidence.verdicts if row.verdict != "not measured"}
    others = [arm for arm in evidence.arms if arm in judged and not arms.emulated(arm)]
    spoken = [arm for arm in others if arm in evidence.systems]
    return "runtime" if "runtime" in judged or not spoken else spoken[0]


def _sentence(evidence: Evidence, subject: str) -> str:
    start, start_state = _start(evidence, subject)
    speed, speed_state = _speed(evidence, subject)
    if not start and not speed:
        return f"No claim about {arms.label(subject)} could be judged."
    if start_state == speed_state == "inconclusive":
        return f"This run could settle neither {_neither(start)} nor {_neither(speed)}."
    if not start or not speed:
        whole = start or speed.replace("it ", f"{_noun(subject)} ", 1)
    else:
        both = "supported" if start_state == speed_state else ""
        joint = " and " if both else ", but " if "refuted" in (start_state, speed_state) else "; "
        whole = start + joint + speed
    return f"{whole[:1].upper()}{whole[1:]}."


def _noun(subject: str) -> str:
    if subject == arms.AGAIN:
        return "the host, measured once more as if it were a system,"
    return "a virtual machine" if subject.startswith("vm") else "a container"


def _neither(undecided: str) -> str:
    return undecided.removesuffix(OPEN)


def _start(evidence: Evidence, subject: str) -> tuple[str, State]:
    rows = _of(evidence, START, subject)
    whole = _whole(rows)
    if whole is None or whole.verdict == "not measured":
        return "", "not measured"
    timed = _timed(rows)
    claim, noun = _claim(evidence, START), _noun(subject)
    if whole.verdict == "inconclusive" or timed is None or claim is None:
        return f"whether {noun} starts within a second{OPEN}", "inconclusive"
    if whole.verdict == "supported":
        took = _spelled(timed.estimate, claim.unit)
        return (
            f"{noun} started its program in {took} (median{_by_daemons(evidence, subject, claim)})",
            "supported",
        )
    worst = max(
        (row for row in rows if row.verdict == "refuted" and row.estimate is not None),
        key=lambda row: row.estimate or 0.0,
        default=timed,
    )
    took = _spelled(worst.estimate, claim.unit)
    return f"{noun} did not start within a second: half the starts took more than {took}", "refuted"


def _by_daemons(evidence: Evidence, subject: str, claim: Claim) -> str:
    """What a start took that was asked of a daemon, where that was measured."""
    timed = {one: _timed(_of(evidence, START, one)) for one in DAEMONS.get(subject, ())}
    return "".join(
        f"; {_spelled(row.estimate, claim.unit)} through {one}" for one, row in timed.items() if row
    )


def _timed(rows: list[Verdict]) -> Verdict | None:
    """The row of starts back to back."""
    return next((row for row in rows if row.metric.startswith(FIRST) and row.estimate is not None), None)


def _spelled(value: float | None, unit: str) -> str:
    number, _, short = quantity(value, unit).partition(NBSP)
    return f"{number}{NBSP}{_UNITS.get(short, short)}"


def _speed(evidence: Evidence, subject: str) -> tuple[str, State]:
    rows = _of(evidence, SPEED, subject)
    whole = _whole(rows)
    if whole is None or whole.verdict == "not measured":
        return "", "not measured"
    what = f"99{NBSP}% of the host's CPU, memory and network performance"
    if whole.verdict == "supported":
        return f"it gave the program {what}", "supported"
    if whole.verdict == "refuted":
        return f"it did not give {what}: {_worst(evidence, rows)}", "refuted"
    return f"whether it gives {what}{OPEN}", "inconclusive"


def _worst(evidence: Evidence, rows: list[Verdict]) -> str:
    claim = _claim(evidence, SPEED)
    primary = [row for row in rows if claim is None or claim.role_of(row.metric) == "primary"]
    refuted = [row for row in primary if row.verdict == "refuted" and row.estimate is not None]
    if not refuted:
        return "the table says where"
    worst = min(refuted, key=lambda row: row.estimate or 0.0)
    return f"{share(worst.estimate)} at worst ({metric_words(worst.metric)})"


def _of(evidence: Evidence, claim: str, backend: str) -> list[Verdict]:
    return [row for row in evidence.verdicts if row.claim == claim and row.backend == backend]


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
    guests = listed([arms.label(arm) for arm in evidence.arms if arm.startswith("vm")])
    cut = " Interrupted before its end." if run.status in ("interrupted", "running") else ""
    return (
        f"Measured on {day(run.started)} on one machine: {machine}, {host.distribution}, "
        f"Linux {host.kernel}. "
        f"Profile {run.plan.profile}, {sessions} of fresh instances."
        f"{f' Virtual machines: {guests}.' if guests else ''}{cut}"
    )
