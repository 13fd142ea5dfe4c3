"""The machine's own noise over the time of a run, slice by slice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports.arms import INK, STYLES
from reports.figures.base import axis, blank
from reports.figures.drift import SHORT_S

GAP_S = 20.0
"""Nothing is drawn across a pause of so many seconds, as an interruption leaves one."""

MOST_POINTS = 600
"""Stretches of a line; of many slices the worst of each stretch is drawn."""

LINES = (("stall_share", "pressure (PSI)", "runtime"), ("steal_share", "steal", "vm"))


def noise(slices: pd.DataFrame) -> go.Figure:
    """Pressure and steal (shares of 0 to 1) of `slices` over time: the worst slice of each stretch.

    Slices that were set aside and repeated are crosses.
    """
    at, word = _times(slices)
    drawn = slices.assign(at=at)
    traces = [_line(drawn, column, name, look) for column, name, look in LINES if drawn[column].notna().any()]
    aside = drawn[drawn["aside"]]
    if len(aside):
        traces.append(_crosses(aside))
    top = max(
        (float(drawn[column].max()) for column, _, _ in LINES if drawn[column].notna().any()), default=0.0
    )
    return blank(
        240,
        traces,
        showlegend=True,
        xaxis=axis(f"{word} since the run's first sample", rangemode="tozero", showgrid=False),
        yaxis=axis("share of the slice", range=[0, max(0.05, top * 1.08)], tickformat=".0%"),
    )


def frequency(slices: pd.DataFrame) -> go.Figure:
    """Clock of the CPUs, MHz, of `slices` over time: the slowest slice of each stretch."""
    at, word = _times(slices)
    drawn = slices.assign(at=at)[slices["frequency_mhz"].notna()]
    rows = _stretches(drawn, "frequency_mhz", worst="min")
    line = go.Scatter(
        x=rows["at"].to_numpy("float32"),
        y=rows["frequency_mhz"].to_numpy("float32"),
        mode="lines",
        name="clock",
        line={"width": 1.6, "color": STYLES["runtime"].ink.light},
        hovertemplate="%{y:,.0f} MHz<extra></extra>",
    )
    return blank(
        240,
        [line],
        showlegend=False,
        xaxis=axis(f"{word} since the run's first sample", rangemode="tozero", showgrid=False),
        yaxis=axis("MHz", tickformat=",~f"),
    )


def _times(slices: pd.DataFrame) -> tuple[pd.Series[float], str]:
    seconds = (slices["start_ns"] - slices["start_ns"].min()) / 1e9
    return (seconds / 60.0, "minutes") if seconds.max() > SHORT_S else (seconds, "seconds")


def _stretches(drawn: pd.DataFrame, column: str, worst: str) -> pd.DataFrame:
    """At most MOST_POINTS rows in order of time: of each stretch of neighbours the worst."""
    rows = drawn[drawn[column].notna()].sort_values("start_ns").reset_index(drop=True)
    if len(rows) > MOST_POINTS:
        stretch = np.arange(len(rows)) * MOST_POINTS // len(rows)
        grouped = rows[column].groupby(stretch)
        kept = grouped.idxmax() if worst == "max" else grouped.idxmin()
        rows = rows.iloc[kept.to_numpy()].reset_index(drop=True)
    pauses = rows[rows["start_ns"].diff() > GAP_S * 1e9]
    holes = pauses.assign(**{column: np.nan}).set_index(pauses.index - 0.5)
    return pd.concat([rows, holes]).sort_index()


def _line(drawn: pd.DataFrame, column: str, name: str, look: str) -> go.Scatter:
    rows = _stretches(drawn, column, worst="max")
    return go.Scatter(
        x=rows["at"].to_numpy("float32"),
        y=rows[column].to_numpy("float32"),
        mode="lines",
        name=name,
        line={"width": 1.6, "color": STYLES[look].ink.light, "dash": STYLES[look].dash},
        hovertemplate=f"{name}: %{{y:.1%}}<extra></extra>",
    )


def _crosses(aside: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=aside["at"].to_numpy("float32"),
        y=aside[["stall_share", "steal_share"]].max(axis=1).to_numpy("float32"),
        mode="markers",
        name="repeated",
        marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": INK["refuted"].light}},
        hovertemplate="taken under pressure, repeated: %{y:.1%}<extra></extra>",
    )
