"""Forest plot: one row per metric, its ratio and interval, lines at the claim's margin and at 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bench.answers.words import digits, share
from reports.arms import INK
from reports.figures.base import axis, blank, line_at, log_ticks

NEAR = (0.75, 1.3334)
"""A ratio outside is an arrow at the edge as long as most rows are inside; else the axis shows all."""

SYMBOLS = {"supported": "circle", "refuted": "x", "inconclusive": "diamond", "not measured": "line-ns"}
ROW = 26


def forest(rows: pd.DataFrame, margin: float = 0.99) -> go.Figure:
    """Draw `rows` (columns label, estimate, low, high, state, note), the first row on top, on a log axis.

    Ratios are performance, arm / baseline: above 1 the arm is better, for times too. An interval without an
    end (0, infinity, none) reaches the edge of the picture. Rows without a positive estimate are left out.
    """
    rows = rows[rows["estimate"].gt(0)].reset_index(drop=True)
    low, high = _span(rows, margin)
    inside = rows["estimate"].between(low, high)
    traces = [
        _points(chosen, state, symbol, low, high)
        for state, symbol in SYMBOLS.items()
        if len(chosen := rows[inside & (rows["state"] == state)])
    ]
    return by_row(
        rows,
        traces,
        shapes=[_line(margin, "dash"), _line(1.0, "solid")],
        annotations=[
            word_at(math.log10(margin), f"{digits(margin).rstrip('0')} needed", "right"),
            word_at(0.0, "host", "left"),
            *_arrows(rows[~inside], low, high),
        ],
        xaxis=axis("performance, host = 1, right is better", **_x_axis(low, high)),
    )


def by_row(rows: pd.DataFrame, traces: Sequence[go.Bar | go.Scatter], **layout: Any) -> go.Figure:
    """A figure with one line for each of `rows`, named by its column label, the first on top."""
    return blank(
        112 + ROW * max(1, len(rows)),
        traces,
        showlegend=True,
        meta={"rows": ROW},
        margin={"l": 8, "r": 16, "t": 26, "b": 8},
        yaxis=axis(
            showgrid=False,
            range=[len(rows) - 0.4, -0.6],
            tickvals=list(range(len(rows))),
            ticktext=list(rows["label"]),
        ),
        **layout,
    )


def word_at(place: float, text: str, side: str) -> dict[str, Any]:
    """An annotation on top of the plot, at `place` of the x axis (its logarithm on a log axis)."""
    return {
        "x": place,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "text": text,
        "xanchor": side,
        "showarrow": False,
        "font": {"size": 11, "color": INK["muted"].light},
    }


def _span(rows: pd.DataFrame, margin: float) -> tuple[float, float]:
    near = rows[rows["estimate"].between(*NEAR)]
    zoomed = len(near) > 0 and len(near) * 2 >= len(rows)
    ends = near if zoomed else rows
    lows, highs = ends["low"][ends["low"] > 0], ends["high"][ends["high"] < math.inf]
    low = min([0.97, margin * 0.985, *lows, *ends["estimate"]])
    high = max([1.03, *highs, *ends["estimate"]])
    if zoomed:
        low, high = max(low, NEAR[0]), min(high, NEAR[1])
    room = (high / low) ** 0.04
    return low / room, high * room


def _x_axis(low: float, high: float) -> dict[str, Any]:
    if high / low > 5:
        return log_ticks(low, high) | {"tickformat": "~g"}
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0) if (high - low) / s <= 9 or s == 1.0)
    ticks = [round(k * step, 4) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _points(rows: pd.DataFrame, state: str, symbol: str, low: float, high: float) -> go.Scatter:
    colour = INK[state].light
    return go.Scatter(
        x=rows["estimate"],
        y=rows.index,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": rows["high"].clip(upper=high) - rows["estimate"],
            "arrayminus": rows["estimate"] - rows["low"].clip(lower=low),
            "thickness": 2,
            "width": 4,
            "color": colour,
        },
        mode="markers",
        name=state,
        marker={"symbol": symbol, "size": 10, "color": colour},
        text=rows["note"],
        hovertemplate="%{text}<extra></extra>",
    )


def _line(place: float, dash: str) -> dict[str, Any]:
    return line_at("x", place, width=1.5, dash=dash, color=INK["muted"].light)


def _arrows(rows: pd.DataFrame, low: float, high: float) -> list[dict[str, Any]]:
    arrows = []
    for place, row in rows.iterrows():
        left = row["estimate"] < low
        arrow = {
            "x": math.log10(low if left else high),
            "y": place,
            "text": f"◀ {share(row['estimate'])}" if left else f"{share(row['estimate'])} ▶",
            "hovertext": row["note"],
            "showarrow": False,
            "xanchor": "left" if left else "right",
            "font": {"size": 12, "color": INK[row["state"]].light},
        }
        arrows.append(arrow)
    return arrows
