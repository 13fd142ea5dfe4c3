"""One test to one verdict row: the three-state rule, and the words that go with it."""

from __future__ import annotations

import math

import msgspec

from bench.claims import Claim
from bench.judging.pairs import Series
from bench.model import State, Verdict
from bench.stats.cluster import Interval

EMULATED = (
    "emulated CPU (TCG): speaks of this backend only, excluded from claims about virtual machines in general"
)


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What must be there before any verdict is given."""

    min_sessions: int
    smoke: bool = False


def decide(interval: Interval, margin: float, *, at_least: bool) -> State:
    """Three-state rule on one scale (logs for ratios).

    at_least: supported when low >= margin, refuted when high < margin. Otherwise (value at most margin):
    supported when high <= margin, refuted when low > margin. Anything else is inconclusive.
    """
    if at_least:
        return (
            "supported" if interval.low >= margin else "refuted" if interval.high < margin else "inconclusive"
        )
    return "supported" if interval.high <= margin else "refuted" if interval.low > margin else "inconclusive"


def shortfall(series: Series | None, claim: Claim, gate: Gate) -> str:
    """Why no verdict may be given on this series, or an empty string."""
    if series is None or series.n_pairs == 0:
        return "nothing valid to compare"
    if gate.smoke:
        return "the smoke profile never gives a verdict"
    if series.n_sessions < gate.min_sessions:
        return f"{series.n_sessions} sessions, a verdict needs at least {gate.min_sessions}"
    if series.n_pairs < claim.min_pairs:
        return f"{series.n_pairs} pairs, a verdict needs at least {claim.min_pairs}"
    return ""


def join(*parts: str) -> str:
    """Non-empty parts of a reason, joined by semicolons."""
    return "; ".join(part for part in parts if part)


def label(*backends: str) -> str:
    """The sentence every row about an emulated machine carries."""
    return EMULATED if any("tcg" in name.split("-") for name in backends) else ""


def number(value: float) -> float | None:
    """JSON has no infinity and no nan: those become null."""
    return value if math.isfinite(value) else None


def ratio_row(
    claim: Claim, key: tuple[str, str], baseline: str, series: Series | None, interval: Interval, gate: Gate
) -> Verdict:
    """Row for a performance ratio; `interval` is on the log scale."""
    assert claim.margin is not None
    short = shortfall(series, claim, gate)
    state = "inconclusive" if short else decide(interval, math.log(claim.margin), at_least=True)
    scale = msgspec.structs.replace(
        interval,
        estimate=_exp(interval.estimate),
        low=_exp(interval.low),
        high=_exp(interval.high),
    )
    return row(claim, key, baseline, series, scale, state, join(short, label(key[1], baseline)))


def row(
    claim: Claim,
    key: tuple[str, str],
    baseline: str,
    series: Series | None,
    interval: Interval,
    state: State,
    reason: str,
) -> Verdict:
    """Assemble a verdict row; numbers that are not finite become null."""
    return Verdict(
        claim=claim.id,
        metric=key[0],
        backend=key[1],
        baseline=baseline,
        estimate=number(interval.estimate),
        low=number(interval.low),
        high=number(interval.high),
        margin=claim.margin,
        alpha=claim.alpha,
        n_sessions=series.n_sessions if series else 0,
        n_pairs=series.n_pairs if series else 0,
        verdict=state,
        reason=reason,
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
