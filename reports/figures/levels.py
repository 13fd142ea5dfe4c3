"""Levels side by side: what one more instance costs, and what a mode or a place gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bench.answers.words import quantity, scale
from reports import arms
from reports.arms import Legend
from reports.figures.base import Level, axis, blank, line_at, log_ticks, medians, named, plain

ALIKE = 1.02
"""Medians within this factor of each other are the same to a reader: a chart of them says nothing."""

FAR = 12.0
"""Largest over smallest median from which an axis is logarithmic."""


def differ(table: Sequence[Level]) -> bool:
    """Whether systems differ in any metric, so that there is something to see."""
    by_metric: dict[str, list[float]] = {}
    for level in table:
        by_metric.setdefault(level.metric, []).append(level.median)
    return any(max(found) > ALIKE * min(found) for found in by_metric.values())


def alike(one: Sequence[Level], other: Sequence[Level]) -> bool:
    """Whether two metrics have the same medians on the same systems."""
    both = {level.arm: level.median for level in other}
    return len(one) == len(other) and all(
        level.arm in both and max(level.median, both[level.arm]) <= ALIKE * min(level.median, both[level.arm])
        for level in one
    )


def cost_bars(samples: pd.DataFrame, title: str, legend: Legend) -> go.Figure:
    """One bar per arm from zero to its median, labelled with the value; `samples` are of one metric."""
    table = medians(samples)
    factor, shown = scale(table[0].unit, max(level.median for level in table))
    bars = go.Bar(
        x=[level.median * factor for level in table],
        y=[named(legend, level.arm) for level in table],
        orientation="h",
        width=0.62,
        marker={"color": [legend.style(level.arm).ink.light for level in table]},
        text=[plain(quantity(level.median, level.unit)) for level in table],
        textposition="outside",
        cliponaxis=False,
        customdata=[level.count for level in table],
        hovertemplate="%{y}: %{text}, median of %{customdata} samples<extra></extra>",
    )
    top = max(level.median for level in table) * factor
    return blank(
        84 + 40 * len(table),
        [bars],
        showlegend=False,
        xaxis=axis(f"{title}, {plain(shown)}", range=[0, (top or 1.0) * 1.32]),
        yaxis=axis(showgrid=False, autorange="reversed"),
    )


def levels(samples: pd.DataFrame, rows: Mapping[str, str], title: str, legend: Legend) -> go.Figure:
    """One dot per arm with the middle half of its samples, one row per metric (`rows`: metric → row name).

    The axis begins at zero, or is logarithmic where the medians lie more than `FAR` apart.
    """
    table = medians(samples[samples["metric"].isin(rows)])
    factor, shown, far = _scale(table)
    systems = list(dict.fromkeys(level.arm for level in table))
    present = {level.metric for level in table}
    places = {metric: place for place, metric in enumerate(m for m in rows if m in present)}
    traces = []
    for number, arm in enumerate(systems):
        shift = (number - (len(systems) - 1) / 2) * 0.8 / len(systems)
        chosen = [level for level in table if level.arm == arm]
        traces.append(
            _dots(legend, arm, chosen, [places[level.metric] + shift for level in chosen], factor, rows)
        )
    scaling, note = _value_axis(table, factor, far)
    names = [rows[metric] for metric in places]
    span = [len(places) - 0.5, -0.5]
    return blank(
        110 + (16 * len(systems) + 18) * len(places),
        traces,
        showlegend=True,
        shapes=[line_at("y", place - 0.5, color=arms.INK["grid"].light) for place in range(1, len(places))],
        xaxis=axis(f"{title}{f', {plain(shown)}' if shown else ''}{note}", **scaling),
        yaxis=axis(showgrid=False, tickvals=list(places.values()), ticktext=names, range=span),
    )


def _scale(table: Sequence[Level]) -> tuple[float, str, bool]:
    """Factor and unit to show, and whether on a log axis, whose ticks say their own unit."""
    values = sorted(level.median for level in table)
    if values[0] > 0 and values[-1] / values[0] > FAR:
        return 1.0, "", True
    return (*scale(table[0].unit, values[-1]), False)


def _value_axis(table: Sequence[Level], factor: float, far: bool) -> tuple[dict[str, Any], str]:
    high = max(level.high for level in table) * factor
    if not far:
        return {"range": [0, (high or 1.0) * 1.08], "tickformat": ",~f"}, ""
    least = min(level.low for level in table if level.low > 0) * factor
    return log_ticks(least / 1.3, high * 1.3, table[0].unit), " (log)"


def _dots(
    legend: Legend,
    arm: str,
    chosen: Sequence[Level],
    y: Sequence[float],
    factor: float,
    rows: Mapping[str, str],
) -> go.Scatter:
    look = legend.style(arm)
    ink = look.ink.light
    return go.Scatter(
        x=[level.median * factor for level in chosen],
        y=y,
        mode="markers",
        name=named(legend, arm),
        marker={"symbol": look.symbol, "size": 9, "color": ink, "line": {"width": 1, "color": ink}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(level.high - level.median) * factor for level in chosen],
            "arrayminus": [(level.median - level.low) * factor for level in chosen],
            "thickness": 1.5,
            "width": 0,
            "color": ink,
        },
        text=[_note(legend, level, rows[level.metric]) for level in chosen],
        hovertemplate="%{text}<extra></extra>",
    )


def _note(legend: Legend, level: Level, row: str) -> str:
    low, median, high = (
        plain(quantity(value, level.unit)) for value in (level.low, level.median, level.high)
    )
    where = f", {row}" if row else ""
    return f"{named(legend, level.arm)}{where}: {median} (middle half {low} to {high}, {level.count} samples)"
