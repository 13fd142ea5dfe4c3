"""Do clocks and tools agree with the host's clock and CPU accounting? `check.clock` rows, which never decide.

Two questions. Does a guest's clock run as fast as the host's (metric check.clock_rate)? And where a slice is
a fixed amount of work, does the tool's figure say the same as the host's clock over the whole slice, and as
the CPU time that the host counted for it? Of a fixed amount of work, figure × time is the same for every arm;
so its ratio to the baseline's, pair by pair, is the tool's verdict over the clock's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pandas as pd

from bench.claims import Clock, matches
from bench.judging.comparisons import RunSeries, exponential
from bench.judging.pairs import Key, Series, collect, ratio_series
from bench.judging.rows import Gate, count, notes, row
from bench.model import ALL, CLOCK, State, Verdict
from bench.stats.cluster import Interval, t_interval

RATE = "check.clock_rate"
ALPHA = 0.05
NEVER = "shown, never decides"

TIMES = {"clock": ("duration_ns", "the host's clock"), "cpu": ("busy_s", "the host's CPU accounting")}
"""Suffix of a row's metric → column of the samples with the slice's time by the host, and its name."""


class ClockCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One figure against the host's own: the ratio between them, 1 where they agree."""

    metric: str
    arm: str
    baseline: str
    interval: Interval
    n_pairs: int
    against: str


def clock_rows(
    clock: Clock,
    samples: pd.DataFrame,
    evidence: RunSeries,
    baseline: str,
    arms: Sequence[str],
    gate: Gate,
) -> list[Verdict]:
    """Rows of guests' clocks, then of tools' figures: one for each arm and one for each that differs."""
    rates = [
        _row(clock, _rate(key, series), gate)
        for key, series in evidence.values().items()
        if key[0] == RATE and key[1] in arms
    ]
    checks: dict[str, list[ClockCheck]] = {}
    for check in tool_checks(clock, samples, baseline):
        if check.arm in arms:
            checks.setdefault(check.arm, []).append(check)
    return [*rates, *(row for found in checks.values() for row in _tool_rows(clock, found, gate))]


def tool_checks(clock: Clock, samples: pd.DataFrame, baseline: str) -> Iterator[ClockCheck]:
    """Tools' figures of fixed work over the host's, for every arm beside `baseline`."""
    names = [name for name in samples["metric"].unique() if matches(str(name), clock.fixed_work)]
    fixed = samples[samples["metric"].isin(names)]
    for suffix, (column, against) in TIMES.items():
        if column not in fixed.columns or fixed.empty:
            continue
        for (metric, arm), series in ratio_series(collect(_work(fixed, column)), baseline).items():
            yield ClockCheck(
                metric=f"{metric}.{suffix}",
                arm=arm,
                baseline=baseline,
                interval=exponential(t_interval(series.locations, ALPHA)),
                n_pairs=series.n_pairs,
                against=against,
            )


def _work(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """The samples with the work that figure and time imply in place of the figure; larger is better."""
    figure = samples["value"].to_numpy(dtype=np.float64)
    seconds = pd.to_numeric(samples[column]).to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(all="ignore"):
        work = np.where(samples["better"].to_numpy() == "lower", seconds / figure, seconds * figure)
    return samples.assign(value=work, better="higher")


def _rate(key: Key, series: Series) -> ClockCheck:
    return ClockCheck(
        metric=RATE,
        arm=key[1],
        baseline="",
        interval=t_interval(series.locations, ALPHA),
        n_pairs=series.n_pairs,
        against="the host's clock",
    )


def _state(clock: Clock, check: ClockCheck, gate: Gate) -> State:
    """Within the tolerance on both sides, beyond it, or undecided."""
    lowest, highest = 1.0 - clock.tolerance, 1.0 + clock.tolerance
    found = check.interval
    if gate.smoke or found.n_clusters < gate.min_sessions:
        return "inconclusive"
    if found.low >= lowest and found.high <= highest:
        return "supported"
    return "refuted" if found.low > highest or found.high < lowest else "inconclusive"


def _differs(clock: Clock, check: ClockCheck, gate: Gate) -> bool:
    """By more than the tolerance, and by more than noise."""
    found = check.interval
    beyond = abs(found.estimate - 1.0) > clock.tolerance
    return found.n_clusters >= gate.min_sessions and beyond and not found.low <= 1.0 <= found.high


def _tool_rows(clock: Clock, checks: Sequence[ClockCheck], gate: Gate) -> list[Verdict]:
    """The row `*` of one arm, then one for each figure that differs."""
    apart = [check for check in checks if _differs(clock, check, gate)]
    states = {_state(clock, check, gate) for check in checks}
    state: State = "refuted" if "refuted" in states else "inconclusive" if len(states) > 1 else states.pop()
    worst = max(checks, key=lambda check: abs(np.log(check.interval.estimate)) if check.n_pairs else 0.0)
    agree = sum(_state(clock, check, gate) == "supported" for check in checks)
    texts = notes(
        f"{agree} of {count(len(checks), 'comparison')} of tools' figures with the host's clock and CPU "
        f"accounting agree within {100.0 * clock.tolerance:g} %",
        f"differ: {', '.join(check.metric for check in apart)}" if apart else "",
        "the numbers are those of the widest difference",
        NEVER,
    )
    joint = _verdict(clock, msgspec.structs.replace(worst, metric=ALL), state, texts)
    return [joint, *(_row(clock, check, gate) for check in apart)]


def _row(clock: Clock, check: ClockCheck, gate: Gate) -> Verdict:
    state = _state(clock, check, gate)
    found = check.interval
    off = f"{100.0 * (found.estimate - 1.0):+.2f} %"
    if check.metric == RATE:
        said = f"the guest's clock runs {off} against {check.against}"
    else:
        said = f"the tool's own figure, relative to {check.baseline}, is {off} off that by {check.against}"
    few = f"{count(found.n_clusters, 'session')}, a check needs at least {gate.min_sessions}"
    texts = notes(said, few if found.n_clusters < gate.min_sessions else "", NEVER)
    return _verdict(clock, check, state, texts)


def _verdict(clock: Clock, check: ClockCheck, state: State, texts: tuple[str, ...]) -> Verdict:
    place = (check.metric, check.arm, check.baseline)
    return row(CLOCK, place, check.interval, clock.tolerance, ALPHA, check.n_pairs, state, texts)
