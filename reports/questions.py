"""The pictures that answer the two questions: starts against a second, per cent of the host."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import pandas as pd

from bench.answers.metric_names import metric_words
from bench.answers.sentences import amount, between
from bench.answers.words import NBSP, count
from bench.model import ALL, INSTRUMENT, Verdict
from reports.arms import Legend
from reports.figures import forest, startup
from reports.figures.base import plain
from reports.load import Evidence
from reports.panels import Panel, TextTable, panel

WAYS = {
    "startup.first_instruction": "to the first instruction",
    "startup.first_byte": "to a server's first byte",
    "engine.run.cli": "run --rm, from the terminal",
}
"""What a start is timed to, in a row's name."""


def starts(evidence: Evidence) -> Iterator[Panel]:
    """Every system's starts against the limit of the claims about them, from the verdicts on these."""
    timed = {
        claim.id: claim for claim in evidence.claims.claim if claim.kind == "quantile" and claim.unit == "s"
    }
    found = {
        (row.arm, row.metric): row
        for row in evidence.verdicts
        if row.claim in timed and row.estimate and row.arm not in evidence.controls
    }
    rows = [
        _start_row(evidence, arm, way, half, found.get((arm, f"{way}.p99")))
        for arm in sorted(evidence.systems, key=evidence.legend.is_emulated)
        for way in WAYS
        if (half := found.get((arm, f"{way}.p50")))
    ]
    if rows:
        frame = pd.DataFrame(rows)
        margin = next(claim.margin or 1.0 for claim in timed.values())
        yield panel(
            "starts",
            f"Every system against {margin:g} s",
            startup.starts(frame, margin, evidence.legend),
            TextTable(("start", "half of all", "interval", "99 of 100", "interval"), tuple(frame["words"])),
            alt="Time of half of all starts and of 99 of 100, one row a system, with a line at the limit.",
        )


def _start_row(
    evidence: Evidence, arm: str, way: str, half: Verdict, tail: Verdict | None
) -> dict[str, object]:
    label = f"{evidence.legend.label(arm)}: {WAYS[way]}"
    claims = {claim.id: claim for claim in evidence.claims.claim}
    ends = [half, *([tail] if tail else [])]
    numbers = [(amount(claims[row.claim], row.estimate), between(claims[row.claim], row)) for row in ends]
    notes = (
        f"{name}: {value}{f' ({span})' if span else ''}, {row.verdict}"
        for name, (value, span), row in zip(("half", "99 of 100"), numbers, ends, strict=False)
    )
    return {
        "label": plain(label),
        "arm": arm,
        "median": half.estimate,
        "tail": tail.estimate if tail and tail.estimate else math.nan,
        "note": f"<b>{plain(label)}</b><br>{'<br>'.join(map(plain, notes))}",
        "words": (label, *numbers[0], *(numbers[1] if tail else ("–", ""))),
    }


def forests(evidence: Evidence) -> tuple[list[Panel], list[Panel]]:
    """Per cent of the host, a picture a system: what decides the sentence about it, and the rest.

    An emulated system without a row near the host has no picture: the table of all has its numbers.
    """
    deciding: list[Panel] = []
    others: list[Panel] = []
    for arm in sorted(evidence.systems, key=evidence.legend.is_emulated):
        mine = [row for row in evidence.verdicts if row.arm == arm and _is_host_ratio(evidence, row)]
        for key, what in (
            ("primary", "what decides"),
            ("disk", "disk"),
            ("stress", "stress, which explains"),
        ):
            rows = forest_rows(evidence, [row for row in mine if _kind(evidence, row) == key])
            if len(rows) and (forest.is_near(rows) or not evidence.legend.is_emulated(arm)):
                drawn = _forest(evidence.legend, arm, key, what, rows)
                (deciding if key == "primary" else others).append(drawn)
    return deciding, others


def _is_host_ratio(evidence: Evidence, row: Verdict) -> bool:
    kinds = {claim.id: claim.kind for claim in evidence.claims.claim}
    if row.claim in INSTRUMENT or row.metric == ALL:
        return False
    return row.baseline == evidence.baseline and kinds.get(row.claim, "ratio") == "ratio"


def _kind(evidence: Evidence, row: Verdict) -> str:
    """Which picture a row belongs to: a stress metric's, one of the joint sentence, or of the others."""
    claim = next((claim for claim in evidence.claims.claim if claim.id == row.claim), None)
    if claim is None:
        return "primary"
    return "stress" if claim.role_of(row.metric) == "stress" else "primary" if claim.rule == "all" else "disk"


def forest_rows(evidence: Evidence, verdicts: list[Verdict]) -> pd.DataFrame:
    """Rows of one forest plot, one a metric with an estimate, the worst first."""
    claims = {claim.id: claim for claim in evidence.claims.claim}
    rows = []
    for row in sorted(verdicts, key=lambda row: row.estimate or 0.0):
        if not row.estimate:
            continue
        claim = claims.get(row.claim)
        value, span = amount(claim, row.estimate), between(claim, row)
        low, high = forest.open_ends(row.low, row.high)
        tail = f"{row.verdict}; {count(row.n_pairs, 'pair')} in {count(row.n_sessions, 'session')}"
        rows.append(
            {
                "label": plain(metric_words(row.metric)),
                "estimate": row.estimate,
                "low": low,
                "high": high,
                "state": row.verdict,
                "note": f"<b>{plain(row.metric)}</b><br>{value} of the host ({span})<br>{tail}",
                "words": (metric_words(row.metric), value, span, row.verdict),
                "margin": row.margin or 0.99,
            }
        )
    frame = pd.DataFrame(rows)
    return frame.drop_duplicates("label", ignore_index=True) if len(frame) else frame


def _forest(legend: Legend, arm: str, key: str, what: str, rows: pd.DataFrame) -> Panel:
    lead = (
        "An emulated processor: these figures are about this way of running only, never about VMs in general."
        if legend.is_emulated(arm)
        else ""
    )
    states = rows["state"].value_counts()
    tally = ", ".join(f"{number} {state}" for state, number in states.items())
    return panel(
        f"forest-{arm}-{key}",
        f"{legend.label(arm)}: {what}",
        forest.forest(rows, margin=float(rows["margin"].iloc[0])),
        TextTable(("metric", "performance, host = 100 %", "interval", "verdict"), tuple(rows["words"])),
        lead=lead,
        alt=f"Performance of {legend.label(arm)} as per cent of the host's, {what}: {tally}.",
    )


class Shade(msgspec.Struct, frozen=True):
    """One cell of the table of all ratios: per cent of the host, the verdict, the interval."""

    text: str
    state: str
    span: str


class ShadeRow(msgspec.Struct, frozen=True):
    """One metric of that table, a cell a system, None where it was not measured there."""

    words: str
    metric: str
    cells: tuple[Shade | None, ...]


class Shades(msgspec.Struct, frozen=True):
    """Metric × system, the metrics with the worst ratios of a system that is not emulated first."""

    systems: tuple[str, ...]
    deciding: tuple[ShadeRow, ...]
    others: tuple[ShadeRow, ...]


def shades(evidence: Evidence) -> Shades | None:
    """Every ratio to the host in one table, or None where there is none."""
    claims = {claim.id: claim for claim in evidence.claims.claim}
    ratios = [row for row in evidence.verdicts if _is_host_ratio(evidence, row) and row.estimate]
    found = {(row.metric, row.arm): row for row in reversed(ratios)}
    legend = evidence.legend
    systems = [arm for arm in evidence.systems if any(row.arm == arm for row in ratios)]
    systems.sort(key=legend.is_emulated)

    def worst(metric: str) -> tuple[bool, float]:
        own = [found[metric, arm] for arm in systems if (metric, arm) in found]
        real = [row.estimate or 0.0 for row in own if not row.emulated]
        return not real, min(real or [row.estimate or 0.0 for row in own])

    def cell(row: Verdict | None) -> Shade | None:
        if row is None:
            return None
        claim = claims.get(row.claim)
        text = amount(claim, row.estimate).removesuffix(f"{NBSP}%")
        return Shade(text, row.verdict, between(claim, row))

    def of(*kinds: str) -> tuple[ShadeRow, ...]:
        names = {row.metric for row in ratios if _kind(evidence, row) in kinds}
        return tuple(
            ShadeRow(metric_words(name), name, tuple(cell(found.get((name, arm))) for arm in systems))
            for name in sorted(names, key=lambda name: (worst(name), name))
        )

    labels = tuple(map(legend.label, systems))
    return Shades(labels, of("primary"), of("disk", "stress")) if ratios else None
