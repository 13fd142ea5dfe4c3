"""Intersection–union: one row for "all primary metrics", strict to support and careful to refute.

Supported only if every primary metric is, each at the full alpha (Berger 1982, Technometrics 24(4), 295–300:
no correction is needed). Refuted if any is, at alpha divided by the number of metrics: that is the first step
of Holm's procedure, the one that decides whether there is any at all. In a run that looks, each metric's two
levels are what its own last look may spend of alpha, and of that share: both arguments need no more than that
each metric alone keeps its level, whenever it was closed.
"""

from __future__ import annotations

from bench.claims import Claim
from bench.judging.rows import ONCE, Judged, decide, finite, margin_of, notes
from bench.judging.spending import Spending
from bench.model import ALL, State, Verdict
from bench.stats.cluster import Interval


def joint_row(
    claim: Claim,
    arm: str,
    baseline: str,
    judged: list[Judged],
    missing: list[str],
    spending: Spending = ONCE,
) -> Verdict:
    """The row `*` of a claim with rule `all`, from the rows of its primary metrics on one arm.

    Its numbers are those of the worst metric: for a ratio estimate = smallest estimate, low = smallest low
    (holds at alpha), high = smallest high at alpha / metrics. For "at most" claims the same with largest.
    """
    ready = [one for one in judged if not one.short]
    share = claim.alpha / max(1, len(ready))
    corrected = [one.source.bounds(spending.level(share, one.source)) for one in ready]
    at_least = claim.kind == "ratio"
    broken = [
        one.source.shown
        for one, bounds in zip(ready, corrected, strict=True)
        if decide(bounds, margin_of(claim), at_least=at_least) == "refuted"
    ]
    open_ = [one.source.shown for one in judged if one.row.verdict != "supported"]
    state: State = "refuted" if broken else "inconclusive" if open_ or missing else "supported"
    texts = notes(
        f"refuted by {', '.join(broken)}" if broken else "",
        f"not supported alone: {', '.join(open_)}" if open_ and not broken else "",
        f"not measured: {', '.join(missing)}" if missing else "",
        f"joins {len(judged)} primary metrics, numbers are those of the worst",
    )
    estimate, low, high = _worst([one.interval for one in ready], corrected, at_least)
    return Verdict(
        claim=claim.id,
        metric=ALL,
        arm=arm,
        baseline=baseline,
        estimate=estimate,
        low=low,
        high=high,
        margin=claim.margin,
        alpha=claim.alpha,
        n_sessions=min((one.row.n_sessions for one in judged), default=0),
        n_pairs=min((one.row.n_pairs for one in judged), default=0),
        verdict=state,
        notes=texts,
        pairing="copies" if any(one.row.pairing == "copies" for one in judged) else judged[0].row.pairing,
    )


def _worst(
    plain: list[Interval], corrected: list[Interval], at_least: bool
) -> tuple[float | None, float | None, float | None]:
    if not plain:
        return None, None, None
    pick = min if at_least else max
    centre = pick(one.estimate for one in plain)
    low = pick(one.low for one in (plain if at_least else corrected))
    high = pick(one.high for one in (corrected if at_least else plain))
    return finite(centre), finite(low), finite(high)
