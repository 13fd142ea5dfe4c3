"""When each metric was decided: one row per metric, as long as it was measured, with its result."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from reports.arms import INK
from reports.figures.base import axis, line_at
from reports.figures.forest import SYMBOLS, by_row, word_at


def decisions(rows: pd.DataFrame, first: int, last: int) -> go.Figure:
    """Draw `rows` (columns label, sessions, state, note), the first on top, over 0 to `last` sessions.

    A dotted line stands at the first look, a dashed one at the most that was planned.
    """
    rows = rows.reset_index(drop=True)
    lengths = go.Bar(
        x=rows["sessions"],
        y=rows.index,
        orientation="h",
        width=0.28,
        marker={"color": INK["grid"].light},
        hoverinfo="skip",
        showlegend=False,
    )
    marks = [
        _marks(chosen, state, symbol)
        for state, symbol in SYMBOLS.items()
        if len(chosen := rows[rows["state"] == state])
    ]
    return by_row(
        rows,
        [lengths, *marks],
        shapes=[
            line_at("x", first, dash="dot", color=INK["axis"].light),
            line_at("x", last, dash="dash", color=INK["axis"].light),
        ],
        annotations=[word_at(first, "first look", "left"), word_at(last, "at most", "right")],
        xaxis=axis("sessions measured", range=[0, last * 1.04], showgrid=False, nticks=8),
    )


def _marks(rows: pd.DataFrame, state: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=rows["sessions"],
        y=rows.index,
        mode="markers",
        name="still open" if state == "inconclusive" else state,
        marker={"symbol": symbol, "size": 10, "color": INK[state].light},
        text=rows["note"],
        hovertemplate="%{text}<br>%{x} sessions<extra></extra>",
    )
