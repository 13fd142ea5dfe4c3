"""Verdicts on `judge.ratio` in sentences."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from bench.model import Verdict
from bench.stats.cluster import Interval
from bench.stats.power import sessions_needed

POWER = 0.8
"""The chance of a verdict for which the forecast gives the number of units."""


def reading(one: Verdict) -> str:
    """Describe a row: "box runs at 98.2 % of host's performance, between 97.9 and 98.5 %: refuted …"."""
    if one.estimate is None:
        return f"{one.arm} cannot be compared with {one.baseline}: {one.verdict}"
    digits = _digits(one)
    centre = f"{one.arm} runs at {_percent(one.estimate, digits)} % of {one.baseline}'s performance"
    if one.low is None or one.high is None:
        spread = ""
    else:
        spread = f", between {_percent(one.low, digits)} and {_percent(one.high, digits)} %"
    margin = "" if one.margin is None else f" against {100 * one.margin:.6g} %"
    return f"{centre}{spread}: {one.verdict}{margin}"


def summary(rows: Sequence[Verdict], alpha: float, *, holm: bool) -> str:
    """Count the rows by verdict, and say how many may be false."""
    states = Counter(one.verdict for one in rows)
    text = f"{len(rows)} row{'' if len(rows) == 1 else 's'}: " + ", ".join(
        f"{number} {state}" for state, number in states.most_common()
    )
    decided = sum(one.low is not None and one.high is not None for one in rows)
    if holm:
        return f"{text}; the chance of any false one is at most {100 * alpha:.4g} % per side (Holm)"
    if decided < 2:
        return text
    text += f"; each row by itself errs in at most {100 * alpha:.4g} % of cases per side"
    if decided * alpha >= 1:
        text += (
            f", so expect up to {decided * alpha:.0f} false ones if many are near the margin (or use --holm)"
        )
    return text


def more_data(interval: Interval, margin: float, alpha: float, unit: str, *, both: bool) -> str:
    """Say how many more units would decide it. interval: on the log scale; both: of each system.

    The smallest level of ranks of n against n values is 1 / C(2n, n) (bench.stats.unpaired.shift).
    """
    if math.isinf(interval.se):
        least = next(n for n in itertools.count(interval.n_clusters + 1) if math.comb(2 * n, n) * alpha >= 1)
        return f"a bound at alpha {alpha:.2g} needs at least {least} {plural(unit)} of each system"
    deviation = interval.se * math.sqrt(interval.n_clusters)
    wanted = sessions_needed(
        interval.estimate, deviation, math.log(margin), alpha, interval.n_clusters, power=POWER
    )
    if not math.isfinite(wanted):
        return f"too close to the margin to settle by more {plural(unit)}"
    more = int(wanted) - interval.n_clusters
    what = unit if more == 1 else plural(unit)
    return f"about {more} more {what}{' of each system' if both else ''} like these would settle it"


def plural(unit: str) -> str:
    """session → sessions, group of 3 pairs → groups of 3 pairs."""
    first, _, rest = unit.partition(" ")
    return f"{first}s {rest}".strip()


def _percent(ratio: float, digits: int) -> str:
    return f"{100 * ratio:.{digits}f}"


def _digits(one: Verdict) -> int:
    """Return the decimals of a percentage that show the width of the interval: one to three."""
    if one.low is None or one.high is None or not one.high > one.low:
        return 1
    return min(3, max(1, 1 - math.floor(math.log10(100 * (one.high - one.low)))))
