"""Does a live guest beside fast slices make their pairs noisier? Host against host, by the flip of a coin.

    sudo python -m tests.studies.guest_beside --sessions 12 --out DIR

2 N sessions of host and host-b. In half of them, drawn at random, an idle guest runs beside them. For each
metric: the variance of pairs inside sessions in both states, their ratio with an F-test, and the same without
normality (Levene's test with medians; a permutation of whole sessions, the unit that the coin was flipped
for). Each session is a journal of its own: a study that was cut goes on where it stopped. Writes
DIR/guest_beside.json.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats as sps

from bench import journal, measure
from bench.backends.base import InstanceSpec
from bench.cli import dependencies, setup
from bench.cli.names import cpus as usable_cpus
from bench.cli.names import scenarios as named
from bench.journal import Contents, Journal, RunLine
from bench.model import ArmPlan, Plan
from bench.plan import make_plan
from bench.profiles import PROFILES, Profile
from bench.scenarios.base import Scenario
from bench.testing import fake_run

State = Literal["running", "absent"]
Floats = NDArray[np.float64]

GUEST = "vm"
PERMUTATIONS = 5000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. sd, robust_sd: of a pair's logarithm inside a session, by state (robust: from the median
    absolute deviation). ratio: of the variances, running over absent; f_p, levene_p, permutation_p: chance
    of such a ratio if the guest made no difference, two-sided.
    """

    metric: str
    pairs: dict[str, int]
    sd: dict[str, float]
    robust_sd: dict[str, float]
    ratio: float
    robust_ratio: float
    f_p: float
    levene_p: float
    permutation_p: float


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The study: sessions by state, a row a metric."""

    sessions: dict[str, int]
    rows: tuple[Row, ...]


def coins(sessions: int, seed: int) -> list[State]:
    """As many sessions of each state, in random order."""
    order: list[State] = ["running", "absent"] * sessions
    random.Random(seed).shuffle(order)
    return order


def design(
    scenarios: Sequence[Scenario], blocks: int, seed: int, cpus: tuple[int, ...]
) -> tuple[Plan, Profile]:
    """One session: so many blocks of host and its copy."""
    profile = msgspec.structs.replace(
        PROFILES["quick"], budget_s=1e5, sessions=1, first_look=0, max_visits=blocks
    )
    arms = (
        ArmPlan(name="host", backend="host", kind="host", role="baseline"),
        ArmPlan(name="host-b", backend="host", kind="host", role="control", twin_of="host"),
    )
    return make_plan(profile, seed, arms, scenarios, cpus=cpus), profile


def ratios(contents: Contents) -> dict[str, list[float]]:
    """The log-ratios host-b / host of a session, by metric."""
    values: dict[tuple[str, int], dict[str, float]] = {}
    for one in contents.samples:
        if one.valid and one.value is not None and one.value > 0:
            values.setdefault((one.metric, one.block), {})[one.arm] = one.value
    found: dict[str, list[float]] = {}
    for (metric, _), arms in values.items():
        if {"host", "host-b"} <= arms.keys():
            found.setdefault(metric, []).append(math.log(arms["host-b"] / arms["host"]))
    return found


def compare(metric: str, running: Sequence[Sequence[float]], absent: Sequence[Sequence[float]]) -> Row:
    """The spread of pairs about their sessions, (sessions)(pairs) of both states."""
    groups = {"running": running, "absent": absent}
    pairs = {state: sum(map(len, sessions)) for state, sessions in groups.items()}
    variance = {state: _variance(sessions) for state, sessions in groups.items()}
    free = {state: pairs[state] - len(sessions) for state, sessions in groups.items()}
    away = {state: [_away(one) for one in sessions] for state, sessions in groups.items()}
    flat = {state: np.concatenate(found) for state, found in away.items()}
    robust = {state: 1.4826 * float(np.median(np.abs(found))) for state, found in flat.items()}
    ratio = variance["running"] / variance["absent"]
    f = sps.f(free["running"], free["absent"])
    return Row(
        metric=metric,
        pairs=pairs,
        sd={state: math.sqrt(found) for state, found in variance.items()},
        robust_sd=robust,
        ratio=ratio,
        robust_ratio=(robust["running"] / robust["absent"]) ** 2 if robust["absent"] else math.inf,
        f_p=float(2 * min(f.cdf(ratio), f.sf(ratio))),
        levene_p=float(sps.levene(flat["running"], flat["absent"], center="median").pvalue),
        permutation_p=_permuted(away["running"], away["absent"]),
    )


def _variance(sessions: Sequence[Sequence[float]]) -> float:
    """Of pairs about their session's mean, all sessions together."""
    squares = sum(float(np.sum((np.array(one) - np.mean(one)) ** 2)) for one in sessions)
    return squares / sum(len(one) - 1 for one in sessions)


def _away(session: Sequence[float]) -> Floats:
    return np.asarray(np.array(session) - np.median(session))


def _permuted(running: Sequence[Floats], absent: Sequence[Floats]) -> float:
    """p of the ratio of mean absolute deviations, by exchanging whole sessions between the states."""
    means = np.array([float(np.mean(np.abs(one))) for one in (*running, *absent)])
    rng = np.random.default_rng(1)
    order = np.argsort(rng.random((PERMUTATIONS, means.size)), axis=1)
    with np.errstate(divide="ignore"):
        ratios = np.log(means[order[:, : len(running)]].mean(1) / means[order[:, len(running) :]].mean(1))
        seen = math.log(means[: len(running)].mean() / means[len(running) :].mean())
    return float((1 + np.count_nonzero(np.abs(ratios) >= abs(seen))) / (1 + PERMUTATIONS))


def summary(sessions: Mapping[Path, State]) -> Found:
    """What the sessions' journals say together. Sessions with fewer than two pairs of a metric are left
    out."""
    contents = {path: journal.read(path) for path in sessions}
    by_metric: dict[str, dict[State, list[list[float]]]] = {}
    for path, state in sessions.items():
        for metric, found in ratios(contents[path]).items():
            if len(found) > 1:
                by_metric.setdefault(metric, {"running": [], "absent": []})[state].append(found)
    states = list(sessions.values())
    return Found(
        sessions={state: states.count(state) for state in dict.fromkeys(states)},
        rows=tuple(
            compare(metric, found["running"], found["absent"])
            for metric, found in by_metric.items()
            if found["running"] and found["absent"] and np.ptp(np.concatenate(found["absent"])) > 0
        ),
    )


def session(
    path: Path,
    state: State,
    plan: Plan,
    profile: Profile,
    scenarios: Mapping[str, Scenario],
    stage: setup.Stage,
) -> None:
    """Measure one session into its journal, from the start if it was cut."""
    if path.exists() and journal.read(path).ended:
        return
    shutil.rmtree(path.parent.parent, ignore_errors=True)
    guest = next(arm.name for arm in stage.arms if arm.backend == GUEST)
    site = measure.Site(
        run_id=path.parent.parent.name,
        backends=dict.fromkeys(("host", "host-b"), stage.backends["host"]),
        scenarios=scenarios,
        profile=profile,
        scratch=stage.scratch,
    )
    with contextlib.ExitStack() as stack:
        if state == "running":
            stack.callback(stage.backends[guest].start(InstanceSpec(cpus=plan.cpus)).stop)
        book = stack.enter_context(Journal(path))
        book.append(RunLine(run=fake_run(plan)))
        outcome = measure.run(plan, site, book)
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        book.append(RunLine(run=fake_run(plan, outcome.status)))


def measured(options: argparse.Namespace, deps: dependencies.Dependencies) -> dict[Path, State]:
    """All sessions that are not there yet; the journals of all."""
    offered = named(options.families, deps.scenarios)
    offered = [one for one in offered if one.kind == "slice" and one.family != "check" and _is_primary(one)]
    cpus = usable_cpus(options.cpus, os.sched_getaffinity(0))
    found: dict[Path, State] = {}
    with setup.stage(deps, ["host", GUEST], dependencies.cache_dir(), print) as stage:
        for number, state in enumerate(coins(options.sessions, options.seed)):
            path = options.out / f"{number:03}-{state}" / journal.NAME
            plan, profile = design(offered, options.blocks, options.seed + number, cpus)
            print(f"session {number + 1} of {2 * options.sessions}: guest {state}", flush=True)
            session(path, state, plan, profile, {one.name: one for one in offered}, stage)
            found[path] = state
    return found


def _is_primary(scenario: Scenario) -> bool:
    return any(metric.role == "primary" for metric in scenario.metrics)


def main(arguments: Sequence[str] | None = None, deps: dependencies.Dependencies | None = None) -> int:
    """Measure what is missing, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=12, help="of each state")
    parser.add_argument("--blocks", type=int, default=6, help="of each scenario in a session")
    parser.add_argument("--families", default="cpu,memory")
    parser.add_argument("--cpus", help="as for `ninetynine run`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="where the journals are, or shall be")
    options = parser.parse_args(arguments)
    found = summary(measured(options, deps or dependencies.real()))
    text = msgspec.json.format(msgspec.json.encode(found))
    (options.out / "guest_beside.json").write_bytes(text + b"\n")
    for row in found.rows:
        print(
            f"{row.metric:<32} sd {100 * row.sd['running']:.2f} → {100 * row.sd['absent']:.2f} %, "
            f"variance ×{row.ratio:.2f} (F p {row.f_p:.3f}, Levene p {row.levene_p:.3f}, "
            f"permutation p {row.permutation_p:.3f}), robust ×{row.robust_ratio:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
