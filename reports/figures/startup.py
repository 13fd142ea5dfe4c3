"""Start-up: the whole distribution of start times, and what a start is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from bench.answers.words import quantity, scale
from reports import arms
from reports.arms import STYLES, Legend
from reports.figures.base import FONT, Level, axis, blank, line_at, log_ticks, medians, named, plain

Floats = NDArray[np.float64]

PHASE_INKS = ("runtime", "crun", "docker", "vm", "nnd", "host-b", "vm-untuned", "host")


def ecdf(samples: pd.DataFrame, legend: Legend, mark: float | None = None) -> go.Figure:
    """Share of starts done after a time, an arm a step line, on a log axis. `samples` are of one metric.

    `mark` is a time in the metric's unit drawn as a vertical line (a claim's limit), when given.
    """
    unit = str(samples["unit"].iloc[0])
    factor, shown = scale(unit, float(samples["value"].median()))
    samples = samples[samples["value"] > 0]
    low = float(samples["value"].min()) * factor
    high = max(float(samples["value"].max()), mark or 0.0) * factor
    lines = [
        _steps(
            legend,
            str(arm),
            np.sort(rows["value"].to_numpy(dtype="float64")) * factor,
            plain(shown),
            high * 1.6,
        )
        for arm, rows in samples.groupby("arm", sort=False, observed=True)
    ]
    limit = line_at("x", (mark or 0.0) * factor, dash="dash", color=arms.INK["muted"].light)
    return blank(
        380,
        lines,
        showlegend=True,
        shapes=[] if mark is None else [limit],
        xaxis=axis(f"time, {plain(shown)} (log)", tickformat=",~g", **log_ticks(low / 1.6, high * 1.6)),
        yaxis=axis("share of starts done", range=[0, 1.03], tickformat=".0%"),
    )


def _thin(times: Floats, most: int = 800) -> tuple[Floats, Floats]:
    """Sorted times and the share done by each; of many, evenly spaced ranks with both ends."""
    ranks = np.unique(np.linspace(0, len(times) - 1, min(len(times), most)).round().astype(int))
    return times[ranks], (ranks + 1) / len(times)


def _steps(legend: Legend, arm: str, times: Floats, unit: str, end: float) -> go.Scatter:
    look, size = legend.style(arm), len(times)
    at, done = _thin(times)
    return go.Scatter(
        x=np.concatenate([at[:1], at, [end]]).astype("float32"),
        y=np.concatenate([[0.0], done, [1.0]]).astype("float32"),
        mode="lines",
        line={"shape": "hv", "width": 2.2, "color": look.ink.light, "dash": look.dash},
        name=named(legend, arm),
        hovertemplate=f"{named(legend, arm)}: %{{y:.0%}} of {size} starts done after %{{x:.3~g}} {unit}"
        "<extra></extra>",
    )


def phases(samples: pd.DataFrame, legend: Legend) -> go.Figure:
    """Median length of each phase in order of time, one bar and one linear axis per arm.

    `samples` hold metrics `startup.phase.<name>`. Axes differ: a VM's start takes a thousand containers'.
    """
    table = medians(samples)
    systems = list(dict.fromkeys(level.arm for level in table))
    figure = make_subplots(rows=len(systems), cols=1, vertical_spacing=0.5 / len(systems))
    height = 54 + 92 * len(systems)
    hide = {"mode": "hide", "minsize": 10}
    margin = {"t": 30, "l": 1, "r": 16, "b": 8}
    figure.update_layout(
        blank(height, barmode="stack", showlegend=False, uniformtext=hide, margin=margin).layout
    )
    for row, arm in enumerate(systems, start=1):
        _stack(figure, legend, row, [level for level in table if level.arm == arm])
    return figure


def _stack(figure: go.Figure, legend: Legend, row: int, parts: Sequence[Level]) -> None:
    total = sum(level.median for level in parts)
    factor, shown = scale(parts[0].unit, total)
    for place, level in enumerate(parts):
        ink = STYLES[PHASE_INKS[place % len(PHASE_INKS)]].ink.light
        figure.add_trace(_segment(legend, level, total, factor, ink), row=row, col=1)
    figure.update_xaxes(
        axis(ticksuffix=f" {plain(shown)}", rangemode="tozero", showgrid=False, nticks=6), row=row, col=1
    )
    figure.update_yaxes(axis(showgrid=False, showticklabels=False, automargin=False), row=row, col=1)
    figure.add_annotation(
        text=f"<b>{named(legend, parts[0].arm)}</b>: {plain(quantity(total, parts[0].unit))}",
        x=0,
        y=1,
        xref=f"x{'' if row == 1 else row} domain",
        yref=f"y{'' if row == 1 else row} domain",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"family": FONT, "size": 13},
    )


def _segment(legend: Legend, level: Level, total: float, factor: float, ink: str) -> go.Bar:
    name = plain(level.metric.removeprefix("startup.phase.").replace("_", " "))
    length = plain(quantity(level.median, level.unit))
    part = f"{level.median / total:.0%}" if total else "–"
    return go.Bar(
        x=[level.median * factor],
        y=[""],
        orientation="h",
        width=0.9,
        name=name,
        text=f"{name} {length}",
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        marker={"color": ink, "line": {"width": 0}},
        hovertemplate=f"{name}: {length} ({part})<extra>{named(legend, level.arm)}</extra>",
    )
