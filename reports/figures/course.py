"""Interval width over sessions: what narrows, and what will not get below the per cent in question."""

from __future__ import annotations

import math
from collections.abc import Mapping

import plotly.graph_objects as go

from bench.answers.course import Widths
from reports.arms import INK, phase_ink
from reports.figures.base import axis, blank, line_at, plain

ONE_PERCENT = 0.01
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0)


def course(lines: Mapping[str, Widths]) -> go.Figure:
    """A line for each named metric: half of its interval's width after so many sessions, on a log axis."""
    traces = [
        go.Scatter(
            x=[sessions for sessions, _ in widths],
            y=[width for _, width in widths],
            mode="lines+markers",
            name=plain(name),
            line={"width": 2, "color": phase_ink(place)},
            marker={"size": 5},
            hovertemplate=f"{plain(name)}: ± %{{y:.2%}} after %{{x}} sessions<extra></extra>",
        )
        for place, (name, widths) in enumerate(lines.items())
    ]
    ends = [width for widths in lines.values() for _, width in widths if width > 0]
    low, high = min([ONE_PERCENT, *ends]) / 1.5, max([ONE_PERCENT, *ends]) * 1.5
    ticks = [tick for tick in TICKS if low <= tick <= high]
    most = max(sessions for widths in lines.values() for sessions, _ in widths)
    return blank(
        280 + 20 * len(lines),
        traces,
        showlegend=True,
        shapes=[line_at("y", ONE_PERCENT, width=1.5, dash="dash", color=INK["muted"].light)],
        xaxis=axis("sessions", showgrid=False, dtick=max(1, most // 8)),
        yaxis=axis(
            "half of the interval (log)",
            type="log",
            range=[math.log10(low), math.log10(high)],
            tickvals=ticks,
            ticktext=[f"± {100 * tick:g} %" for tick in ticks],
        ),
    )
