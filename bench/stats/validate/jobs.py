"""Split the study into jobs for a pool of processes and join the results. The same seed gives the same
numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec
import numpy as np

from bench.stats.validate import controls, estimators, rules, spending, study, table
from bench.stats.validate.controls import CONTROL_WORLDS
from bench.stats.validate.estimators import METHODS
from bench.stats.validate.table import FigureCheck, Results, markdown, percent
from bench.stats.validate.worlds import BY_NAME, NOISES, WORLDS

CHUNK = 1000
"""Runs drawn at once: small enough for a laptop's memory, large enough for numpy."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs each part of the study takes."""

    study: int = 20_000
    estimators: int = 10_000
    control: int = 4_000
    bias: int = 400
    tails: int = 1_000
    spending: int = 20_000
    rules: int = 2_000

    def shrunk(self, share: float) -> Size:
        """Return a smaller study; no part has fewer than 100 runs."""
        return Size(**{name: max(100, int(getattr(self, name) * share)) for name in self.__struct_fields__})


class StudyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows, by marker, and the checks."""

    results: Results
    tables: dict[str, str]
    checks: list[FigureCheck]


Job = tuple[str, tuple[Any, ...], int, int]
"""(part, its parameters, runs, seed)."""

SESSIONS = (4, 8, 30)
CONTROL_SESSIONS, CONTROL_METRICS = (4, 6, 12), (1, 10, 40)
BIASES, BIAS_SESSIONS = (0.002, 0.005, 0.01, 0.02), (4, 5, 6, 8, 12)
TAILS = tuple((s, n, luck) for s, n in ((4, 170), (6, 100), (8, 60), (8, 25)) for luck in (0.0, 0.05, 0.2))


def plan(size: Size, seed: int) -> list[Job]:
    """Return all jobs, the long ones first."""
    jobs: list[Job] = []
    for world in sorted(WORLDS, key=lambda one: -one.last):
        starts = range(0, size.study, CHUNK)
        jobs += [("study", (world.name,), min(CHUNK, size.study - at), seed + at) for at in starts]
    for count in CONTROL_SESSIONS:
        for metrics in CONTROL_METRICS:
            jobs += [
                ("control", (world.name, count, metrics), size.control, seed) for world in CONTROL_WORLDS
            ]
    jobs += [("estimators", (world.name, n), size.estimators, seed) for n in SESSIONS for world in NOISES]
    jobs += [("bias", (bias, count), size.bias, seed) for bias in BIASES for count in BIAS_SESSIONS]
    jobs += [("tails", one, size.tails, seed) for one in TAILS]
    jobs += [("rules", (world.name, rule), size.rules, seed) for rule in rules.RULES for world in NOISES]
    jobs += [("spending", (one,), size.spending, seed) for one in spending.DISTANCES]
    return jobs


def run(job: Job) -> Any:
    """One job's numbers, in this process or another."""
    part, what, runs, seed = job
    return _PARTS[part](runs, seed, *what)


def _study(runs: int, seed: int, name: str) -> Any:
    return study.tally_chunk((name, runs, seed))[1]


def _estimators(runs: int, seed: int, name: str, sessions: int) -> Any:
    """In chunks: the bootstraps draw hundreds of samples a run."""
    rng = np.random.default_rng([seed, sessions])
    parts = [estimators.false_rates(BY_NAME[name], sessions, 500, rng) for _ in range(max(1, runs // 500))]
    return {method: np.mean([part[method] for part in parts], axis=0) for method in METHODS}


def _control(runs: int, seed: int, name: str, sessions: int, metrics: int) -> Any:
    rng = np.random.default_rng([seed, sessions, metrics])
    parts = [
        controls.control_rate(BY_NAME[name], sessions, metrics, 100, rng) for _ in range(max(1, runs // 100))
    ]
    return float(np.mean(parts))


def _bias(runs: int, seed: int, bias: float, sessions: int) -> Any:
    rng = np.random.default_rng([seed, sessions])
    return controls.control_rate(BY_NAME["session effects"], sessions, 40, runs, rng, bias=bias)


def _tails(runs: int, seed: int, sessions: int, starts: int, luck: float) -> Any:
    return controls.quantile_rates(0.99, sessions, starts, luck, runs, np.random.default_rng([seed, starts]))


def _rules(runs: int, seed: int, name: str, rule: str) -> Any:
    rng = np.random.default_rng([seed, list(BY_NAME).index(name)])
    return rules.tally(BY_NAME[name], rule, runs, rng)


def _spending(runs: int, seed: int, distance: float) -> Any:
    return spending.stops(distance, runs, np.random.default_rng(seed))


_PARTS: dict[str, Callable[..., Any]] = {
    "study": _study,
    "estimators": _estimators,
    "control": _control,
    "bias": _bias,
    "tails": _tails,
    "spending": _spending,
    "rules": _rules,
}


def walk(jobs: list[Job], processes: int | None = None) -> Iterable[tuple[Job, Any]]:
    """Yield each job with its numbers, in order; processes: all CPUs by default, 1 stays in this process."""
    workers = processes or os.cpu_count() or 1
    if workers == 1:
        yield from ((job, run(job)) for job in jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from zip(jobs, pool.map(run, jobs), strict=True)


def gather(done: Iterable[tuple[Job, Any]], size: Size) -> StudyResult:
    """All numbers to tables and checks."""
    results: Results = {}
    others: dict[tuple[str, tuple[Any, ...]], Any] = {}
    for (part, what, _, _), found in done:
        if part == "study":
            earlier = results.get(what[0])
            results[what[0]] = {name: earlier[name] + found[name] for name in found} if earlier else found
        else:
            others[part, what] = found
    tables = {
        "fixed": table.fixed_table(results),
        "looks": table.looks_table(results),
        "designs": table.designs_table(results),
        "estimators": _estimators_table(others),
        "resolution": _resolution_table(others),
        "control": _control_table(others),
        "bias": _bias_table(others),
        "tails": _tails_table(others),
        "spending": _spending_table(others),
        "rules": _rules_table(others),
        "copies": _copies_table(others),
        "noises": "\n".join(f"- *{world.name}*: {world.says}." for world in WORLDS),
    }
    return StudyResult(
        results=results,
        tables=tables,
        checks=[*table.checks(results), *_control_checks(others, size), *_rules_checks(others)],
    )


def _control_checks(others: dict[tuple[str, tuple[Any, ...]], Any], size: Size) -> list[FigureCheck]:
    return [
        FigureCheck(
            row=f"A/A control, {what[0]}, {what[1]} sessions, {what[2]} metrics",
            figure="failed by chance",
            value=rate,
            low=0.0,
            high=controls.PROMISE,
            runs=size.control,
        )
        for (part, what), rate in others.items()
        if part == "control"
    ]


def _rules_checks(others: dict[tuple[str, tuple[Any, ...]], Any]) -> Iterable[FigureCheck]:
    edge = rules.TRUTHS.index(study.EDGE)
    for world in NOISES:
        for rule in rules.RULES if world.held else ():
            found = others["rules", (world.name, rule)]
            figures = {"false supported": found.supported[edge], "false refuted": found.refuted[edge]}
            for figure, number in figures.items():
                yield _held(f"{world.name}, {rule}", figure, number / found.runs, table.FALSE, found.runs)
        if world.alike and world.held:
            found = others["rules", (world.name, rules.COPIES)]
            row, few = f"{world.name}, {rules.COPIES}", round(rules.WIDE * found.runs)
            yield _held(row, "false where the control differs most", found.wide, table.FALSE, few)
            chance = table.ERRORS / found.runs**0.5
            apart = max(0.0, abs(found.correlation) - chance)
            yield _held(row, "correlation with the control", apart, rules.CORRELATION, found.runs)


def _held(row: str, figure: str, value: float, most: float, runs: int) -> FigureCheck:
    return FigureCheck(row=row, figure=figure, value=value, low=0.0, high=most, runs=runs)


def _rules_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    loss, edge, even = (rules.TRUTHS.index(truth) for truth in (study.LOSS, study.EDGE, study.EVEN))
    rows = []
    for world in NOISES:
        cells = []
        for rule in rules.RULES:
            found = others["rules", (world.name, rule)]
            calls = (found.supported[edge], found.refuted[edge], found.refuted[loss], found.supported[even])
            cells.append(percent(*(number / found.runs for number in calls)))
        given_up = others["rules", (world.name, rules.GIVEN_UP)]
        rows.append([world.name, *cells, percent(*(n / given_up.runs for n in given_up.given_up))])
    return markdown(["noise", *rules.RULES, "of these given up at 0.98 / 0.99 / 1.00"], rows)


def _copies_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = []
    for world in (world for world in NOISES if world.alike):
        found = others["rules", (world.name, rules.COPIES)]
        rows.append([world.name, f"{found.correlation:+.3f}", percent(found.wide)])
    return markdown(["noise", "correlation", "false where the control differs most, worse side"], rows)


def _estimators_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = []
    for world in NOISES:
        for count in SESSIONS:
            found = others["estimators", (world.name, count)]
            rows.append([world.name, str(count), *(percent(*found[name][:2]) for name in METHODS)])
    return markdown(["noise", "sessions", *METHODS], rows)


def _resolution_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = []
    for world in NOISES:
        cells = [others["estimators", (world.name, count)] for count in SESSIONS]
        rows.append([world.name, *(percent(one["median + t"][2], one["HL + t"][2]) for one in cells)])
    return markdown(["noise", *(f"{count} sessions" for count in SESSIONS)], rows)


def _control_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = [
        [world.name, str(count)]
        + [f"{100 * others['control', (world.name, count, metrics)]:.2f}" for metrics in CONTROL_METRICS]
        for world in CONTROL_WORLDS
        for count in CONTROL_SESSIONS
    ]
    return markdown(["noise", "sessions", "1 metric", "10 metrics", "40 metrics"], rows)


def _bias_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = [
        [f"{100 * bias:g} %", *(percent(others["bias", (bias, count)]) for count in BIAS_SESSIONS)]
        for bias in BIASES
    ]
    return markdown(["bias", *(f"{count} sessions" for count in BIAS_SESSIONS)], rows)


def _tails_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = [
        [str(count), str(starts), f"{100 * luck:g} %", percent(*others["tails", (count, starts, luck)])]
        for count, starts, luck in TAILS
    ]
    return markdown(["sessions", "starts a session", "session luck", "above high / below low"], rows)


def _spending_table(others: dict[tuple[str, tuple[Any, ...]], Any]) -> str:
    rows = []
    for rho in spending.POWERS:
        cells = [others["spending", (distance,)][rho] for distance in spending.DISTANCES]
        levels = spending.look_levels(rho)
        row = [
            f"{rho:g}",
            f"{100 * levels[0]:.2f}",
            f"{100 * levels[-1]:.2f}",
            f"{spending.widening(rho):.2f}",
        ]
        rows.append([*row, *(f"{sessions:.1f} ({100 * share:.0f} %)" for sessions, share in cells)])
    heads = ["power", "level of the first look, %", "of the last, %", "width at the last"]
    return markdown([*heads, *(f"{distance:g} sd off" for distance in spending.DISTANCES)], rows)
