"""One sentence that may be quoted: does a container start in a second, and does it give 99 % of the host?"""

from __future__ import annotations

import msgspec

from bench.answers.instrument import failure, negative
from bench.answers.labels import AGAIN, NND, RUNTIME, Labels
from bench.answers.metric_names import metric_words, plain_metric
from bench.answers.sentences import Answer, Sentence, amount, between, sentences
from bench.answers.words import NBSP, digits, listed, scale
from bench.claims import Claims
from bench.model import Run, State, Verdict

START, SPEED = "startup.median", "performance"
"""The two sentences that the headline speaks of."""

FIRST = "startup.first_instruction"

_UNITS = {"s": "seconds", "ms": "milliseconds", "µs": "microseconds"}
_WORST: tuple[State, ...] = ("refuted", "inconclusive", "not measured", "supported")
_FAMILIES = {"cpu": "CPU", "memory": "memory", "network": "network"}


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """The sentence, its state, and the system that it is about. valid: whether verdicts stand beside it."""

    state: State
    text: str
    subject: str
    valid: bool = True


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The clause about one of the two questions."""

    state: State
    text: str


def headline(run: Run, claims: Claims, verdicts: tuple[Verdict, ...]) -> Headline:
    """The sentence, true under the conditions of the run, or why there cannot be one."""
    subject = subject_of(run, verdicts)
    refused = _refusal(run, verdicts)
    if refused:
        state: State = "refuted" if failure(run, verdicts) else "not measured"
        return Headline(state=state, text=refused, subject=subject, valid=False)
    found = {sentence.claim.id: sentence for sentence in sentences(run, claims, verdicts)}
    parts = _parts(run, found, subject)
    if not parts:
        return Headline(state="not measured", text=_nothing(run, subject), subject=subject)
    joint = " and " if len({part.state for part in parts}) == 1 else ", but "
    text = joint.join(part.text for part in parts)
    state = min((part.state for part in parts), key=_WORST.index)
    if any(_state(found, SPEED, daemon) == "refuted" for daemon in daemons_of(run, subject)):
        state = "refuted"
    return Headline(state=state, text=f"{text[:1].upper()}{text[1:]}.", subject=subject)


def subject_of(run: Run, verdicts: tuple[Verdict, ...]) -> str:
    """The system the headline is about: our runtime, or the first measured one that is not emulated."""
    labels = Labels(run.plan.arms)
    judged = {row.arm for row in verdicts if row.verdict != "not measured"}
    others = [arm for arm in run.plan.systems if arm in judged and not labels.is_emulated(arm)]
    ours = [arm for arm in labels.of_backend(RUNTIME) if arm in judged]
    return next(iter([*ours, *others]), RUNTIME)


def daemons_of(run: Run, subject: str) -> tuple[str, ...]:
    """The daemons through which users get our runtime's containers: their figures stand beside its own."""
    labels = Labels(run.plan.arms)
    return labels.of_backend(NND) if subject in labels.of_backend(RUNTIME) else ()


def _refusal(run: Run, verdicts: tuple[Verdict, ...]) -> str:
    if run.plan.profile == "smoke":
        return "A smoke run: it shows that every part works, and gives no verdict."
    if not verdicts:
        return "Measured, but not judged: there is no verdict yet."
    if failed := failure(run, verdicts):
        return failed
    if run.status == "failed":
        return "This run failed before its end: below is what it left, and no verdict stands on it."
    if negative(run, verdicts).state == "inconclusive":
        return "No verdict: the control, two copies of the same arm, could not be judged in this run."
    return ""


def _nothing(run: Run, subject: str) -> str:
    if not run.plan.systems:
        return "No system was measured beside the host."
    return (
        f"This run was asked neither how fast {_noun(run, subject)} starts nor what CPU, memory and network "
        "it gives: the sentences below have its answers."
    )


def _parts(run: Run, found: dict[str, Sentence], subject: str) -> list[Part]:
    """Clauses for what was asked; the second does not repeat the noun."""
    who = _noun(run, subject)
    start = _start(run, found, subject, who)
    speed = _speed(found, subject, "it" if start else who)
    return [part for part in (start, speed) if part is not None]


def _noun(run: Run, subject: str) -> str:
    labels = Labels(run.plan.arms)
    if subject in labels.of_backend(AGAIN):
        return "the host, measured once more as if it were a system,"
    return "a virtual machine" if labels.is_vm(subject) else "a container"


def _answer(found: dict[str, Sentence], claim: str, arm: str) -> Answer | None:
    answer = found[claim].of(arm) if claim in found else None
    return None if answer is None or answer.state == "not asked" else answer


def _state(found: dict[str, Sentence], claim: str, arm: str) -> str:
    answer = _answer(found, claim, arm)
    return answer.state if answer else "not asked"


def _start(run: Run, found: dict[str, Sentence], subject: str, who: str) -> Part | None:
    answer = _answer(found, START, subject)
    if answer is None:
        return None
    question = f"whether {who} starts within a second"
    if answer.row is None or answer.state not in ("supported", "refuted", "inconclusive"):
        return Part(state="not measured", text=f"{question} could not be measured")
    took = _spelled(answer.row.estimate, found[START].claim.unit)
    if answer.state == "inconclusive":
        return Part(state="inconclusive", text=f"{question} is open")
    if answer.state == "refuted":
        text = f"{who} did not start within a second: half of its starts took more than {took}"
        return Part(state="refuted", text=text)
    aside = [f"median, {metric_words(plain_metric(answer.row.metric))}"]
    if plain_metric(answer.row.metric) != FIRST:
        first = next((row for row in answer.rows if plain_metric(row.metric) == FIRST), None)
        if first is not None:
            aside.append(f"{_spelled(first.estimate, found[START].claim.unit)} to its first instruction")
    for daemon in daemons_of(run, subject):
        through = _answer(found, START, daemon)
        if through is not None and through.row is not None:
            aside.append(f"{_spelled(through.row.estimate, found[START].claim.unit)} through {daemon}")
    return Part(state="supported", text=f"{who} started in {took} ({'; '.join(aside)})")


def _spelled(value: float | None, unit: str) -> str:
    factor, short = scale(unit, value or 0.0)
    return f"{digits((value or 0.0) * factor)}{NBSP}{_UNITS.get(short, short)}"


def _speed(found: dict[str, Sentence], subject: str, who: str) -> Part | None:
    answer = _answer(found, SPEED, subject)
    if answer is None:
        return None
    claim = found[SPEED].claim
    families = dict.fromkeys(name.partition(".")[0] for name in claim.primary if name in answer.asked)
    what = f"99{NBSP}% of the host's {listed([_FAMILIES.get(name, name) for name in families])} performance"
    if answer.row is None or answer.state not in ("supported", "refuted", "inconclusive"):
        return Part(state="not measured", text=f"whether {who} gives {what} could not be measured")
    name, span = metric_words(answer.row.metric), between(claim, answer.row)
    worst = f"{amount(claim, answer.row.estimate)} at worst ({name}{f': {span}' if span else ''})"
    open_ = len(answer.asked) - answer.tally.get("supported", 0)
    said = {
        "supported": f"{who} gave {what}: {worst}",
        "refuted": f"{who} did not give {what}: {worst}",
        "inconclusive": f"whether {who} gives {what} is open in {open_} of {len(answer.asked)} metrics: "
        f"{worst}",
    }
    return Part(state=answer.state, text=said[answer.state])
