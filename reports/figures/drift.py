"""Every sample of a metric in run order: where drift, jumps and outliers show, and what was not counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bench.answers.words import scale
from reports import arms
from reports.arms import Legend
from reports.figures.base import axis, blank, line_at, log_ticks, named, plain

MOST_POINTS = 1500
"""Points drawn for an arm; beyond, runs of neighbours are shown by their lowest and highest sample."""

SHORT_S = 180.0
"""A run of at most so many seconds is drawn over seconds, a longer one over minutes."""


def run_order(
    samples: pd.DataFrame,
    span_ns: tuple[int, int],
    legend: Legend,
    most: int = MOST_POINTS,
    far: pd.DataFrame | None = None,
) -> go.Figure:
    """Values of one metric over the time of a run, whose first and last start are `span_ns`.

    Arms come in the order of the rows. Invalid samples are crosses with the reason; rings are the samples of
    `far` with their `cause` (reports.outliers); thin vertical lines are the first sample of each session.
    """
    unit = str(samples["unit"].iloc[0])
    factor, shown = scale(unit, float(samples["value"].median()))
    step, word = (60.0, "minutes") if span_ns[1] - span_ns[0] > SHORT_S * 1e9 else (1.0, "seconds")
    drawn = _placed(samples, span_ns[0], step, factor)
    valid = drawn[drawn["valid"]]
    traces = [
        _points(legend, str(arm), thin(rows.sort_values("order"), most), shown)
        for arm, rows in valid.groupby("arm", sort=False, observed=True)
    ]
    lost = drawn[~drawn["valid"]]
    if far is not None and len(far):
        traces.append(_rings(legend, _placed(far, span_ns[0], step, factor), shown))
    low, high = float(drawn["value"].min()), float(drawn["value"].max())
    scaling = log_ticks(low / 1.3, high * 1.3) if low > 0 and high / low > 20 else {}
    return blank(
        340,
        [*traces, *([_invalid(legend, lost, shown)] if len(lost) else [])],
        showlegend=True,
        shapes=_sessions(drawn),
        xaxis=axis(f"{word} since the run's first sample", rangemode="tozero", showgrid=False),
        yaxis=axis(plain(shown) + (" (log)" if scaling else ""), tickformat=",~f", **scaling),
    )


def _placed(samples: pd.DataFrame, start_ns: int, step: float, factor: float) -> pd.DataFrame:
    at = (samples["start_ns"] - start_ns) / 1e9 / step
    return samples.assign(at=at, value=samples["value"] * factor)


def _sessions(drawn: pd.DataFrame) -> list[dict[str, Any]]:
    firsts = drawn.groupby("session")["at"].min()
    return [line_at("x", float(at), dash="dot", color=arms.INK["axis"].light) for at in firsts]


def thin(rows: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most `most` of `rows`, in order: all, or the lowest and the highest of each stretch of neighbours.

    No extreme is lost: outliers and the edges of drift stay where they were.
    """
    if len(rows) <= most:
        return rows
    stretch = np.arange(len(rows)) * (most // 2) // len(rows)
    values = rows["value"].reset_index(drop=True).groupby(stretch)
    kept = np.unique(np.concatenate([values.idxmin().to_numpy(), values.idxmax().to_numpy()]))
    return rows.iloc[kept]


def _points(legend: Legend, arm: str, rows: pd.DataFrame, unit: str) -> go.Scatter:
    look, name = legend.style(arm), named(legend, arm)
    return go.Scatter(
        x=rows["at"].to_numpy("float32"),
        y=rows["value"].to_numpy("float32"),
        mode="markers",
        name=name,
        marker={"symbol": look.symbol, "size": 6, "opacity": 0.8, "color": look.ink.light},
        customdata=rows[["session", "block"]].to_numpy("int16"),
        hovertemplate=f"{name}: %{{y:.4~g}} {plain(unit)}<br>session %{{customdata[0]}}, "
        "block %{customdata[1]}<extra></extra>",
    )


def _invalid(legend: Legend, rows: pd.DataFrame, unit: str) -> go.Scatter:
    marker = {"symbol": "x-thin", "size": 10, "line": {"width": 2, "color": arms.INK["refuted"].light}}
    texts = [f"{named(legend, row.arm)}, not counted: {plain(row.reason)}" for row in rows.itertuples()]
    return _marks(rows, unit, "not counted", marker, texts)


def _rings(legend: Legend, rows: pd.DataFrame, unit: str) -> go.Scatter:
    ink = arms.INK["inconclusive"].light
    texts = [
        f"{named(legend, row.arm)}, session {row.session}, block {row.block}, {_lines(row.cause)}"
        for row in rows.itertuples()
    ]
    marker = {"symbol": "circle-open", "size": 13, "line": {"width": 2, "color": ink}}
    return _marks(rows, unit, "far from its pair", marker, texts)


def _marks(rows: pd.DataFrame, unit: str, name: str, marker: dict[str, Any], texts: list[str]) -> go.Scatter:
    return go.Scatter(
        x=rows["at"].to_numpy("float32"),
        y=rows["value"].to_numpy("float32"),
        mode="markers",
        name=name,
        marker=marker,
        text=texts,
        hovertemplate=f"%{{text}}<br>%{{y:.4~g}} {plain(unit)}<extra></extra>",
    )


def _lines(cause: object) -> str:
    """How far a pair is off, and each likely cause on a line of its own."""
    assert isinstance(cause, tuple)
    moved, *causes = map(plain, cause)
    return f"{moved}:<br>{',<br>'.join(causes)}"
