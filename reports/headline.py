"""The sentence at the top of the page, its conditions, and the control that must hold before any of it counts."""

from __future__ import annotations

import msgspec

from bench.model import State, Verdict
from reports import arms
from reports.load import Evidence
from reports.verdicts import ALL, claim_views
from reports.words import count, day, listed, quantity, share

START, SPEED = "startup.median", "performance"
"""The two claims that the headline speaks of; all others have their own line."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The A/A control: passed, failed or not given, in a sentence, with the rows behind it."""

    state: State
    sentence: str
    rows: tuple[tuple[str, str, str], ...]


class Banner(msgspec.Struct, frozen=True, kw_only=True):
    """What may be quoted. `state` colours it; `conditions` is part of the quotation."""

    state: State
    sentence: str
    conditions: str
    tally: tuple[tuple[str, int], ...]


def banner(evidence: Evidence) -> Banner:
    """One sentence, true under its conditions, or the reason why there is none."""
    refusal = _refusal(evidence)
    subject = _subject(evidence)
    states = [
        opinion.state for view in claim_views(evidence) for opinion in view.opinions if opinion.arm == subject
    ]
    order: tuple[State, ...] = ("supported", "refuted", "inconclusive", "not measured")
    tally = () if refusal else tuple((state, states.count(state)) for state in order if state in states)
    if refusal:
        return Banner(state="not measured", sentence=refusal, conditions=conditions(evidence), tally=())
    parts = [_start(evidence, subject), _speed(evidence, subject)]
    sentence = "; ".join(part for part in parts if part) or f"No claim about {arms.label(subject)} was judged"
    worst = next((s for s in ("refuted", "inconclusive", "supported") if s in states), "not measured")
    return Banner(
        state=worst,  # type: ignore[arg-type]
        sentence=f"{sentence[:1].upper()}{sentence[1:]}.",
        conditions=conditions(evidence),
        tally=tally,
    )


def _refusal(evidence: Evidence) -> str:
    run = evidence.run
    if control(evidence).state == "refuted":
        return "This run is invalid: two copies of the host differed from each other, so nothing here counts."
    if run.plan.profile == "smoke":
        return "A smoke run: it shows that every part works, and gives no verdict."
    if not evidence.verdicts:
        return "Measured, but not judged: there is no verdict yet."
    if run.status == "failed":
        return "This run failed before its end: what is below is what it left, and no verdict stands on it."
    return ""


def _subject(evidence: Evidence) -> str:
    judged = {row.backend for row in evidence.verdicts}
    native = [arm for arm in evidence.arms if arm in judged and not arms.emulated(arm)]
    spoken = [arm for arm in native if arm != evidence.claims.control.arm]
    return "runtime" if "runtime" in judged or not spoken else spoken[0]


def _start(evidence: Evidence, subject: str) -> str:
    rows = _of(evidence, START, subject)
    whole = _whole(rows)
    timed = [row for row in rows if row.estimate is not None and row.metric != ALL]
    if whole is None:
        return ""
    if not timed or whole.verdict in ("inconclusive", "not measured"):
        return "whether a container starts within a second could not be decided"
    claim = next((c for c in evidence.claims.claim if c.id == START), None)
    first = min(timed, key=lambda row: row.estimate or 0.0)
    took = quantity(first.estimate, claim.unit if claim else "s")
    if whole.verdict == "supported":
        return f"a container started in {took}"
    return f"a container did not start within a second: half the starts took longer than {took}"


def _speed(evidence: Evidence, subject: str) -> str:
    rows = _of(evidence, SPEED, subject)
    whole = _whole(rows)
    if whole is None:
        return ""
    if whole.verdict == "supported":
        return "it gave programs 99 % of the host's CPU, memory and network performance"
    if whole.verdict == "refuted":
        return f"it did not give 99 % of the host's performance everywhere: {_losers(evidence, rows)}"
    return "whether it gives programs 99 % of the host's performance could not be decided"


def _losers(evidence: Evidence, rows: list[Verdict]) -> str:
    claim = next((c for c in evidence.claims.claim if c.id == SPEED), None)
    decided = [
        row for row in rows if row.metric != ALL and (claim is None or claim.role_of(row.metric) == "primary")
    ]
    refuted = [row for row in decided if row.verdict == "refuted" and row.estimate is not None]
    refuted.sort(key=lambda row: row.estimate or 0.0)
    words = [f"{share(row.estimate)} in {row.metric}" for row in refuted[:2]]
    more = len(refuted) - len(words)
    return listed(words + ([f"{more} more"] if more else [])) or "see the table"


def _of(evidence: Evidence, claim: str, backend: str) -> list[Verdict]:
    return [row for row in evidence.verdicts if row.claim == claim and row.backend == backend]


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
    systems = [arms.label(arm) for arm in evidence.arms if arm.startswith("vm")]
    guests = f" Virtual machines: {listed(systems)}." if systems else ""
    cut = " Interrupted before its end." if run.status in ("interrupted", "running") else ""
    return (
        f"Measured on {day(run.started)} on one machine: {machine}, {host.distribution}, Linux {host.kernel}. "
        f"Profile {run.plan.profile}, {count(run.plan.sessions, 'session')} of fresh instances.{guests}{cut}"
    )


def control(evidence: Evidence) -> Control:
    """What the second copy of the host says about the instrument."""
    arm = evidence.claims.control.arm
    rows = [row for row in evidence.verdicts if row.backend == arm]
    joint = next((row for row in rows if row.metric == ALL), None)
    table = tuple(
        (row.metric, share(row.estimate), f"{share(row.low)} to {share(row.high)}")
        for row in rows
        if row.metric != ALL and row.estimate is not None
    )
    if joint is None:
        return Control(
            state="not measured", sentence="This run has no verdict on its A/A control.", rows=table
        )
    words = {
        "supported": "Passed: two copies of the host, measured like any other pair, could not be told apart.",
        "refuted": "Failed: two copies of the host differ. The instrument is not trustworthy here; the run is invalid.",
        "inconclusive": "Not decided: there were too few sessions to tell whether two copies of the host differ.",
        "not measured": "Not measured.",
    }
    sentence = words[joint.verdict] + (f" {joint.reason}" if joint.reason else "")
    return Control(state=joint.verdict, sentence=sentence, rows=table)
