"""Per cent of the host: one row per metric with its interval, zoomed in where 99 % and 100 % differ."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bench.answers.words import limit, share
from reports.arms import INK
from reports.figures.base import axis, by_row, line_at, words_at

NEAR = (0.9, 1.1)
"""What is drawn at most. What lies outside is an arrow at the frame, an estimate with its value."""

SYMBOLS = {"supported": "circle", "refuted": "x", "inconclusive": "diamond", "not measured": "line-ns"}


def is_near(rows: pd.DataFrame) -> bool:
    """Whether any estimate lies inside, so that there is something to draw."""
    return bool(rows["estimate"].between(*NEAR).any())


def forest(rows: pd.DataFrame, margin: float = 0.99) -> go.Figure:
    """Draw `rows` (columns label, estimate, low, high, state, note), the first row on top.

    Ratios are performance, arm / baseline: above 1 the arm is better, for times too. An interval without an
    end (0, infinity) ends in an arrow like one that leaves the picture. Rows without a positive estimate are
    left out.
    """
    rows = rows[rows["estimate"].gt(0)].reset_index(drop=True)
    low, high = _span(rows, margin)
    inside = rows["estimate"].between(low, high)
    traces = [
        _points(chosen, state, symbol, low, high)
        for state, symbol in SYMBOLS.items()
        if len(chosen := rows[inside & (rows["state"] == state)])
    ]
    ends = [_ends(rows[inside & (rows["low"] < low)], low, "left")]
    ends.append(_ends(rows[inside & (rows["high"] > high)], high, "right"))
    return by_row(
        list(rows["label"]),
        [*traces, *(trace for trace in ends if len(trace.x))],
        shapes=[
            line_at("x", 100 * margin, width=1.5, dash="dash", color=INK["muted"].light),
            line_at("x", 100.0, width=1.5, color=INK["muted"].light),
        ],
        annotations=[
            words_at(100 * margin, f"{limit(share(margin))} needed", "right"),
            words_at(100.0, "host", "left"),
            *_arrows(rows[~inside], low, high),
        ],
        xaxis=axis(
            "per cent of the host's performance (right is better)",
            range=[100 * low, 100 * high],
            ticksuffix=" %",
            nticks=10,
        ),
    )


def _span(rows: pd.DataFrame, margin: float) -> tuple[float, float]:
    """What the rows near the host need, within NEAR."""
    near = rows[rows["estimate"].between(*NEAR)]
    low = min([0.975, margin * 0.99, *near["low"]])
    high = max([1.015, *near["high"]])
    low, high = max(low, NEAR[0]), min(high, NEAR[1])
    room = (high - low) * 0.03
    return low - room, high + room


def _points(rows: pd.DataFrame, state: str, symbol: str, low: float, high: float) -> go.Scatter:
    colour = INK[state].light
    return go.Scatter(
        x=100 * rows["estimate"],
        y=rows.index,
        error_x={
            "type": "data",
            "symmetric": False,
            "array": 100 * (rows["high"].clip(upper=high) - rows["estimate"]),
            "arrayminus": 100 * (rows["estimate"] - rows["low"].clip(lower=low)),
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


def _ends(rows: pd.DataFrame, edge: float, side: str) -> go.Scatter:
    """Arrowheads at the frame for intervals that go on."""
    return go.Scatter(
        x=[100 * edge] * len(rows),
        y=rows.index,
        mode="markers",
        cliponaxis=False,
        showlegend=False,
        marker={
            "symbol": f"triangle-{side}",
            "size": 11,
            "color": [INK[str(state)].light for state in rows["state"]],
        },
        text=rows["note"],
        hovertemplate="%{text}<br>the interval goes on outside<extra></extra>",
    )


def _arrows(rows: pd.DataFrame, low: float, high: float) -> list[dict[str, Any]]:
    arrows = []
    for place, row in rows.iterrows():
        left = row["estimate"] < low
        arrow = {
            "x": 100 * (low if left else high),
            "y": place,
            "text": f"◀ {share(row['estimate'])}" if left else f"{share(row['estimate'])} ▶",
            "hovertext": row["note"],
            "showarrow": False,
            "xanchor": "left" if left else "right",
            "font": {"size": 12, "color": INK[row["state"]].light},
        }
        arrows.append(arrow)
    return arrows


def open_ends(low: float | None, high: float | None) -> tuple[float, float]:
    """An interval for `forest`, open where it has no end."""
    return 0.0 if low is None else low, math.inf if high is None else high
