"""Start-up: the whole distribution of start times, and what a start is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from reports import arms
from reports.figures.base import FONT, axis, blank, log_ticks, medians, named
from reports.words import quantity, scale

PHASE_INKS = ("runtime", "crun", "docker", "vm", "podman", "host-b", "vm-untuned", "host")


def ecdf(samples: pd.DataFrame, mark: float | None = None) -> go.Figure:
    """Share of starts done after a time, an arm a step line, log time axis; `samples` are of one metric.

    `mark` is a time in the metric's unit drawn as a vertical line (a claim's limit), when given.
    """
    unit = str(samples["unit"].iloc[0])
    factor, shown = scale(unit, float(samples["value"].median()))
    values = samples["value"] * factor
    low, high = float(values[values > 0].min()), float(max(values.max(), (mark or 0) * factor))
    figure = blank(height=380)
    for arm in samples["backend"].unique():
        figure.add_trace(_steps(str(arm), np.sort(values[samples["backend"] == arm]), shown, high * 1.6))
    if mark is not None:
        ink = arms.INK["muted"].light
        figure.add_vline(x=mark * factor, line={"width": 1, "dash": "dash", "color": ink})
    figure.update_xaxes(axis(f"time, {shown} (log)", **log_ticks(low / 1.6, high * 1.6)), tickformat=",~g")
    figure.update_yaxes(axis("share of starts done", range=[0, 1.03], tickformat=".0%"))
    return figure


def _steps(arm: str, times: np.ndarray, unit: str, end: float) -> go.Scatter:
    look, size = arms.style(arm), len(times)
    return go.Scatter(
        x=np.concatenate([times[:1], times, [end]]),
        y=np.concatenate([[0.0], np.arange(1, size + 1) / size, [1.0]]),
        mode="lines",
        line={"shape": "hv", "width": 2.2, "color": look.ink.light, "dash": look.dash},
        name=named(arm),
        hovertemplate=f"{named(arm)}: %{{y:.0%}} of {size} starts done after %{{x:.3~g}} {unit}<extra></extra>",
    )


def phases(samples: pd.DataFrame) -> go.Figure:
    """Median length of each phase in order of time, one bar and one linear axis an arm.

    `samples` hold metrics `startup.phase.<name>`. Axes differ: a VM's start is a thousand times a container's.
    """
    table = medians(samples)
    systems = list(table["backend"].unique())
    figure = make_subplots(rows=len(systems), cols=1, vertical_spacing=0.36 / len(systems))
    figure.update_layout(blank(height=40 + 104 * len(systems), barmode="stack", showlegend=False).layout)
    for row, arm in enumerate(systems, start=1):
        _bar(figure, row, str(arm), table[table["backend"] == arm])
    return figure


def _bar(figure: go.Figure, row: int, arm: str, phases_of: pd.DataFrame) -> None:
    unit, total = str(phases_of["unit"].iloc[0]), float(phases_of["median"].sum())
    factor, shown = scale(unit, total)
    for place, phase in enumerate(phases_of.itertuples()):
        name = str(phase.metric).removeprefix("startup.phase.").replace("_", " ")
        length = quantity(float(phase.median), unit)
        ink = arms.style(PHASE_INKS[place % len(PHASE_INKS)]).ink.light
        figure.add_trace(
            go.Bar(
                x=[float(phase.median) * factor],
                y=[""],
                orientation="h",
                width=0.9,
                name=name,
                text=f"{name} {length}",
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                constraintext="none" if float(phase.median) > total / 6 else "inside",
                marker={"color": ink, "line": {"width": 0}},
                hovertemplate=f"{name}: {length} ({phase.median / total:.0%})<extra>{named(arm)}</extra>",
            ),
            row=row,
            col=1,
        )
    figure.update_xaxes(
        axis(ticksuffix=f" {shown}", rangemode="tozero", showgrid=False, nticks=6), row=row, col=1
    )
    figure.update_yaxes(axis(showgrid=False, showticklabels=False), row=row, col=1)
    figure.add_annotation(
        text=f"<b>{named(arm)}</b>: {quantity(total, unit)}, the sum of the medians",
        x=0,
        y=1,
        xref=f"x{'' if row == 1 else row} domain",
        yref=f"y{'' if row == 1 else row} domain",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"family": FONT, "size": 13},
    )
