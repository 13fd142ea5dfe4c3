"""What the doctor forecast against what a run took: `python -m tests.studies.forecast RUN [--doctor FILE]`.

FILE is what `ninetynine doctor --json` said before the run. Without it, the forecast is made from the noise
that the run itself saw between its two host arms, as the doctor would have made it. Exit status 1: the time
to the last verdict is off by more than a factor of 2.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pandas as pd

from bench import journal, store
from bench.host.forecast import Forecast, forecast
from bench.host.spread import Noise, Pairs
from bench.journal import StepLine
from bench.model import Run
from bench.profiles import profile
from bench.scenarios.registry import SCENARIOS

FACTOR = 2.0
_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A primary metric: sessions and minutes until its verdict, as forecast and as it was (None: never)."""

    metric: str
    sessions: float | None
    minutes: float | None
    took_sessions: int | None
    took_minutes: float | None


def main() -> int:
    """Print the comparison; 0 within the factor, 1 beyond it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--doctor", type=Path, help="`ninetynine doctor --json`, taken before the run")
    parser.add_argument("--arm", default="runtime")
    options = parser.parse_args()
    loaded = store.load(options.run)
    ends = session_ends(options.run, loaded.run)
    ahead = (
        from_doctor(options.doctor) if options.doctor else from_run(loaded.run, loaded.samples, options.arm)
    )
    found = list(rows(loaded.run, ahead, ends, options.arm))
    for row in found:
        print(
            f"{row.metric:<32} forecast {told(row.sessions):>5} sessions {told(row.minutes):>6} min, "
            f"took {told(row.took_sessions):>5} sessions {told(row.took_minutes):>6} min"
        )
    return verdict(ahead, found, ends)


def rows(run: Run, ahead: Forecast, ends: dict[int, float], arm: str) -> Iterator[Row]:
    """A row for each metric that was forecast."""
    closed = {(one.scenario, one.arm): one.sessions for one in run.closed}
    of_metric = {metric.name: scenario.name for scenario in SCENARIOS for metric in scenario.metrics}
    for one in ahead.metrics:
        took = closed.get((of_metric[one.metric], arm))
        yield Row(
            metric=one.metric,
            sessions=one.sessions,
            minutes=one.minutes,
            took_sessions=took,
            took_minutes=None
            if took is None
            else round(max(at for n, at in ends.items() if n <= took) / 60, 2),
        )


def verdict(ahead: Forecast, found: list[Row], ends: dict[int, float]) -> int:
    """All decided: the factor between forecast and real time. Not all: was that forecast?"""
    open_ = [row.metric for row in found if row.took_minutes is None]
    whole = round(max(ends.values()) / 60, 2)
    if open_:
        print(f"not decided in {whole} min: {', '.join(open_)}; forecast: {told(ahead.minutes)} min")
        return 0 if ahead.minutes is None or ahead.minutes * FACTOR >= whole else 1
    took = max(row.took_minutes for row in found if row.took_minutes is not None)
    factor = math.inf if ahead.minutes is None else max(ahead.minutes / took, took / ahead.minutes)
    print(f"all decided: forecast {told(ahead.minutes)} min, took {took} min, factor {factor:.2f}")
    return 0 if factor <= FACTOR else 1


def from_doctor(path: Path) -> Forecast:
    """The forecast in what the doctor printed."""
    return msgspec.convert(msgspec.json.decode(path.read_bytes())["forecast"], Forecast)


def from_run(run: Run, samples: pd.DataFrame, arm: str) -> Forecast:
    """The forecast from the run's own noise: its second host arm against its first."""
    pairs = Pairs()
    twins = {original: copy for copy, original in run.plan.copies}
    base = run.plan.baseline
    valid = samples[samples.valid & samples.arm.isin([base, twins[base]])]
    visits = valid.groupby(["metric", "session", "block", "arm"]).value.median().unstack("arm")
    for (metric, session, _block), values in visits.dropna().iterrows():
        pairs.add(session, {metric: values[base]}, {metric: values[twins[base]]})
    for (scenario, _order), seconds in valid.groupby(["scenario", "order"]).duration_ns.sum().items():
        pairs.took(scenario, seconds / 1e9)
    order = [metric.name for metric in run.plan.metrics if metric.role == "primary"]
    names = {name: _BY_NAME[name] for name in run.plan.scenarios}
    noise = Noise(kind="image", seconds=0.0, spreads=pairs.spreads(order), slices=pairs.slices())
    return forecast(noise, run.plan, names, profile(run.plan.profile), arm)


def session_ends(directory: Path, run: Run) -> dict[int, float]:
    """Number of sessions → seconds of measuring after which they were over."""
    session = {step.order: step.session for step in run.plan.steps}
    ends: dict[int, float] = {}
    for line in (directory / journal.NAME).read_bytes().splitlines():
        if line.startswith(b'{"type":"step"'):
            step = msgspec.json.decode(line, type=StepLine)
            if step.elapsed is not None:
                ends[session[step.order] + 1] = max(ends.get(session[step.order] + 1, 0.0), step.elapsed)
    return ends


def told(value: float | None) -> str:
    """A number, or `never`."""
    return "never" if value is None else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
