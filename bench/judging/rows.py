"""One comparison → one verdict row: the three-state rule and its notes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from bench.claims import Claim
from bench.judging.comparisons import Comparison
from bench.judging.outlook import needed, values_wanted
from bench.judging.pairs import Key, Loss
from bench.judging.spending import Spending
from bench.model import State, Verdict
from bench.profiles import MOST_SESSIONS
from bench.stats.cluster import Interval

ONCE = Spending()
"""A run that looked at its data once, at its end."""

Family = tuple[str, str, str]
"""(arm, baseline, role): comparisons of one claim that are read side by side."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there before any verdict is given."""

    min_sessions: int
    smoke: bool


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A row with what the joint row needs from it. interval: its bounds, at the level it was judged at."""

    row: Verdict
    source: Comparison
    interval: Interval
    short: str


def decide(interval: Interval, margin: float, *, at_least: bool) -> State:
    """Three-state rule.

    at_least: supported when low >= margin, refuted when high < margin. Otherwise (a value of at most the
    margin): supported when high <= margin, refuted when low > margin. Anything else is inconclusive.
    """
    if at_least:
        return (
            "supported" if interval.low >= margin else "refuted" if interval.high < margin else "inconclusive"
        )
    return "supported" if interval.high <= margin else "refuted" if interval.low > margin else "inconclusive"


def margin_of(claim: Claim) -> float:
    """The margin of a judged claim (bench.claims.load has made sure there is one)."""
    return math.nan if claim.margin is None else claim.margin


def shortfall(comparison: Comparison, gate: Gate) -> str:
    """Why no verdict may be given on these numbers, or an empty string."""
    series = comparison.series
    if gate.smoke:
        return "the smoke profile never gives a verdict"
    if comparison.blocked:
        return comparison.blocked
    unit = "pair" if comparison.baseline else "value"
    if series.n_pairs == 0:
        return f"no usable {unit}s"
    if series.n_sessions < gate.min_sessions:
        return f"{count(series.n_sessions, 'session')}, a verdict needs at least {gate.min_sessions}"
    return ""


def families(claim: Claim, listed: Iterable[Comparison]) -> Counter[Family]:
    """How many metrics of one role a claim reads side by side on one arm. A reader who looks for what is
    broken picks the worst of them, so refuting is corrected for their number. Only ratios are so many and so
    alike that it matters."""
    return Counter(family_of(one) for one in listed) if claim.kind == "ratio" else Counter()


def family_of(comparison: Comparison) -> Family:
    """(arm, baseline, role)."""
    return comparison.arm, comparison.baseline, comparison.role


def state_of(
    claim: Claim, comparison: Comparison, spending: Spending, family: int, interval: Interval
) -> tuple[State, str]:
    """The three-state rule on bounds at the level that the last look may spend, and a note in doubt.

    Supported at alpha, since a claim needs all of its metrics; refuted at alpha / family, since one is enough
    (Bonferroni; the first step of Holm's procedure): among 34 metrics of two equal hosts one is else refuted
    by chance in every third run.
    """
    at_least = claim.kind == "ratio"
    state = decide(interval, margin_of(claim), at_least=at_least)
    if state != "refuted" or family < 2:
        return state, ""
    strict = comparison.bounds(spending.level(claim.alpha / family, comparison))
    if decide(strict, margin_of(claim), at_least=at_least) == "refuted":
        return state, ""
    return "inconclusive", f"beyond the margin alone, not as the worst of {family} metrics"


def judge_one(
    claim: Claim,
    comparison: Comparison,
    gate: Gate,
    lost: dict[Key, Loss],
    spending: Spending = ONCE,
    family: int = 1,
) -> Judged:
    """The row of one metric on one arm, its bounds at the level that its last look may spend."""
    interval = comparison.bounds(spending.level(claim.alpha, comparison))
    short = shortfall(comparison, gate)
    state, doubt = state_of(claim, comparison, spending, family, interval)
    if short:
        state, doubt = "inconclusive", ""
    undecided = not short and state == "inconclusive"
    # What a run gave up says in minutes how far away it is (bench.judge).
    ahead = undecided and not spending.gave_up(comparison)
    texts = notes(
        short,
        doubt,
        *(more_data(claim, comparison, interval) if ahead else ()),
        spending.note(comparison, undecided=undecided),
        *losses(comparison, lost),
    )
    place = (comparison.shown, comparison.arm, comparison.baseline)
    n_pairs = comparison.series.n_pairs
    verdict = row(claim.id, place, interval, claim.margin, claim.alpha, n_pairs, state, texts)
    verdict = msgspec.structs.replace(verdict, pairing=comparison.pairing)
    return Judged(row=verdict, source=comparison, interval=interval, short=short)


def row(
    claim: str,
    place: tuple[str, str, str],
    interval: Interval,
    margin: float | None,
    alpha: float,
    n_pairs: int,
    state: State,
    texts: tuple[str, ...],
) -> Verdict:
    """Assemble a row at (metric, arm, baseline). Numbers that are not finite become null, as in JSON."""
    metric, arm, baseline = place
    return Verdict(
        claim=claim,
        metric=metric,
        arm=arm,
        baseline=baseline,
        estimate=finite(interval.estimate),
        low=finite(interval.low),
        high=finite(interval.high),
        margin=margin,
        alpha=alpha,
        n_sessions=interval.n_clusters,
        n_pairs=n_pairs,
        verdict=state,
        notes=texts,
    )


def more_data(claim: Claim, comparison: Comparison, interval: Interval) -> tuple[str, ...]:
    """What would settle an open comparison."""
    sessions = needed(claim, comparison, interval)
    if not math.isfinite(sessions):
        return ("too close to the margin to settle by more sessions",)
    wanted = values_wanted(comparison, claim.alpha)
    lacking = f"an upper bound needs about {wanted} values" if wanted > comparison.series.n_pairs else ""
    if sessions > MOST_SESSIONS:
        return notes(lacking, "not in sight: no profile has as many sessions as would settle it")
    more = count(int(sessions) - comparison.series.n_sessions, "more session")
    return notes(lacking, f"about {more} like these would settle it (`ninetynine run --profile full`)")


def losses(comparison: Comparison, lost: dict[Key, Loss]) -> tuple[str, ...]:
    """What was left out of this comparison."""
    parts = []
    for arm in dict.fromkeys((comparison.arm, comparison.baseline)):
        loss = lost.get((comparison.metric, arm))
        if loss:
            parts.append(f"{count(loss.count, 'invalid sample')} of {arm} left out ({loss.reason})")
    if comparison.series.unfit:
        what = count(comparison.series.unfit, "pair" if comparison.baseline else "value")
        parts.append(f"{what} of zero or below left out")
    return tuple(parts)


def count(number: int, noun: str) -> str:
    """The number with its noun: "1 pair", "3 pairs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(log_ratio: float) -> str:
    """A log-ratio as a signed change: "-2.0 %"."""
    return f"{100.0 * math.expm1(log_ratio):+.1f} %"


def notes(*parts: str) -> tuple[str, ...]:
    """The parts that say something."""
    return tuple(part for part in parts if part)


def join(*parts: str) -> str:
    """The same in one line."""
    return "; ".join(notes(*parts))


def finite(value: float) -> float | None:
    """The number, or None where it is infinite or not a number."""
    return value if math.isfinite(value) else None
