"""Levels side by side: what one more instance costs, and what a network mode gives."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from reports import arms
from reports.figures.base import axis, blank, log_ticks, medians, named
from reports.words import quantity, scale


def cost_bars(samples: pd.DataFrame, title: str) -> go.Figure:
    """One bar an arm from zero to its median, labelled with the value; `samples` are of one metric."""
    table = medians(samples)
    unit = str(table["unit"].iloc[0])
    factor, shown = scale(unit, float(table["median"].max()))
    figure = blank(height=84 + 40 * len(table), showlegend=False)
    names = [named(arm) for arm in table["backend"]]
    texts = [quantity(value, unit) for value in table["median"]]
    figure.add_trace(
        go.Bar(
            x=table["median"] * factor,
            y=names,
            orientation="h",
            width=0.62,
            marker={"color": [arms.style(str(arm)).ink.light for arm in table["backend"]]},
            text=texts,
            textposition="outside",
            cliponaxis=False,
            customdata=table["count"],
            hovertemplate="%{y}: %{text}, median of %{customdata} samples<extra></extra>",
        )
    )
    top = float(table["median"].max()) * factor
    figure.update_xaxes(axis(f"{title}, {shown}", range=[0, (top or 1.0) * 1.32]))
    figure.update_yaxes(axis(showgrid=False, autorange="reversed"))
    return figure


def levels(samples: pd.DataFrame, rows: dict[str, str], title: str) -> go.Figure:
    """A dot an arm with the middle half of its samples, a row a metric (`rows`: metric → row name), log axis."""
    table = medians(samples[samples["metric"].isin(rows)])
    unit = str(table["unit"].iloc[0])
    factor, shown = scale(unit, float(table["median"].median()))
    positive = table[table["low"] > 0]
    low, high = float(positive["low"].min()) * factor, float(table["high"].max()) * factor
    systems = [str(arm) for arm in table["backend"].unique()]
    places = {metric: place for place, metric in enumerate(m for m in rows if m in set(table["metric"]))}
    figure = blank(height=110 + (16 * len(systems) + 18) * len(places))
    for number, arm in enumerate(systems):
        shift = (number - (len(systems) - 1) / 2) * 0.8 / max(1, len(systems))
        chosen = table[table["backend"] == arm]
        figure.add_trace(
            _dots(arm, chosen, [places[m] + shift for m in chosen["metric"]], factor, unit, rows)
        )
    for place in range(1, len(places)):
        figure.add_hline(y=place - 0.5, line={"width": 1, "color": arms.INK["grid"].light})
    figure.update_xaxes(
        axis(f"{title}, {shown} (log)", **log_ticks(low / 1.25, high * 1.25)), tickformat=",~g"
    )
    names = [rows[metric] for metric in places]
    figure.update_yaxes(
        axis(showgrid=False, tickvals=list(places.values()), ticktext=names, range=[len(places) - 0.5, -0.5])
    )
    return figure


def _dots(
    arm: str, table: pd.DataFrame, y: list[float], factor: float, unit: str, rows: dict[str, str]
) -> go.Scatter:
    look = arms.style(arm)
    notes = [
        f"{named(arm)}, {rows[row.metric]}: {quantity(row.median, unit)} "
        f"(middle half {quantity(row.low, unit)} to {quantity(row.high, unit)}, {row.count_} samples)"
        for row in table.rename(columns={"count": "count_"}).itertuples()
    ]
    return go.Scatter(
        x=table["median"] * factor,
        y=y,
        mode="markers",
        name=named(arm),
        marker={"symbol": look.symbol, "size": 9, "color": look.ink.light, "line": {"width": 1.5}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (table["high"] - table["median"]) * factor,
            "arrayminus": (table["median"] - table["low"]) * factor,
            "thickness": 1.5,
            "width": 0,
            "color": look.ink.light,
        },
        text=notes,
        hovertemplate="%{text}<extra></extra>",
    )
