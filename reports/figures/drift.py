"""Every sample of a metric in run order: where drift, jumps and outliers show, and what was not counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import arms
from reports.figures.base import axis, blank, log_ticks, named, plain
from reports.words import scale

MOST_POINTS = 1500
"""Points drawn for an arm; beyond, runs of neighbours are shown by their lowest and highest sample."""


def run_order(samples: pd.DataFrame) -> go.Figure:
    """Values of one metric over the minutes since `samples`' first start; invalid samples are crosses with the reason."""
    unit = str(samples["unit"].iloc[0])
    factor, shown = scale(unit, float(samples["value"].median()))
    begin = int(samples["start_ns"].min())
    figure = blank(height=400)
    valid = samples[samples["valid"]]
    for arm in samples["backend"].unique():
        rows = thin(valid[valid["backend"] == arm])
        if len(rows):
            figure.add_trace(_points(str(arm), rows, begin, factor, shown))
    _invalid(figure, samples[~samples["valid"]], begin, factor, shown)
    positive = samples["value"][samples["value"] > 0]
    scaling = {}
    if len(positive) == len(samples) and positive.max() / positive.min() > 20:
        scaling = log_ticks(float(positive.min()) * factor / 1.3, float(positive.max()) * factor * 1.3)
    figure.update_xaxes(axis("minutes since the first sample shown", rangemode="tozero"))
    figure.update_yaxes(axis(shown + (" (log)" if scaling else ""), **scaling))
    return figure


def thin(rows: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most `most` of `rows`, in order: all of them, or the lowest and highest of each stretch of neighbours.

    No extreme is lost: outliers and the edges of drift stay where they were.
    """
    if len(rows) <= most:
        return rows
    stretch = np.arange(len(rows)) * (most // 2) // len(rows)
    values = rows["value"].reset_index(drop=True).groupby(stretch)
    kept = np.unique(np.concatenate([values.idxmin().to_numpy(), values.idxmax().to_numpy()]))
    return rows.iloc[kept]


def _points(arm: str, rows: pd.DataFrame, begin: int, factor: float, unit: str) -> go.Scatter:
    look = arms.style(arm)
    return go.Scatter(
        x=((rows["start_ns"] - begin) / 6e10).to_numpy("float32"),
        y=(rows["value"] * factor).to_numpy("float32"),
        mode="markers",
        name=named(arm),
        marker={"symbol": look.symbol, "size": 6, "opacity": 0.8, "color": look.ink.light},
        customdata=rows[["session", "block"]].to_numpy("int16"),
        hovertemplate=f"{named(arm)}: %{{y:.4~g}} {unit}<br>session %{{customdata[0]}}, "
        "block %{customdata[1]}<extra></extra>",
    )


def _invalid(figure: go.Figure, rows: pd.DataFrame, begin: int, factor: float, unit: str) -> None:
    if rows.empty:
        return
    figure.add_trace(
        go.Scatter(
            x=((rows["start_ns"] - begin) / 6e10).to_numpy("float32"),
            y=(rows["value"] * factor).to_numpy("float32"),
            mode="markers",
            name="not counted",
            marker={"symbol": "x-thin", "size": 10, "line": {"width": 2, "color": arms.INK["refuted"].light}},
            text=[f"{named(row.backend)}, not counted: {plain(row.reason)}" for row in rows.itertuples()],
            hovertemplate=f"%{{text}}<br>%{{y:.4~g}} {unit}<extra></extra>",
        )
    )
