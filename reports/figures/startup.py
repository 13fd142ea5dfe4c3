"""Start-up: every system against one second, the whole distribution, and what a start is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from bench.answers.words import quantity
from reports import arms
from reports.arms import Legend
from reports.figures.base import (
    Level,
    axis,
    blank,
    by_row,
    line_at,
    log_ticks,
    medians,
    named,
    plain,
    words_at,
)

Floats = NDArray[np.float64]


def starts(rows: pd.DataFrame, margin: float, legend: Legend) -> go.Figure:
    """A row for each system and end of a start: half of all, 99 of 100, and the line that both are held to.

    `rows`: columns label, arm, median, tail (seconds, nan where unknown), note; the first on top.
    """
    rows = rows.reset_index(drop=True)
    far = rows["tail"].fillna(rows["median"]).max()
    low, high = rows["median"].min() / 2, max(far, margin) * 2
    muted = arms.INK["muted"].light
    return by_row(
        list(rows["label"]),
        [_reach(rows), _half(rows, legend), _most(rows, legend)],
        shapes=[line_at("x", margin, width=2, dash="dash", color=muted)],
        annotations=[words_at(math.log10(margin), plain(f"{margin:g} s"), "center")],
        xaxis=axis("time from the request (log)", **log_ticks(low, high, "s")),
    )


def _reach(rows: pd.DataFrame) -> go.Scatter:
    """From half of all to 99 of 100."""
    known = rows[rows["tail"].notna()]
    ends = [(row.median, row.tail, math.nan) for row in known.itertuples()]
    return go.Scatter(
        x=[value for end in ends for value in end],
        y=[value for place in known.index for value in (place, place, math.nan)],
        mode="lines",
        line={"width": 3, "color": arms.INK["axis"].light},
        hoverinfo="skip",
        showlegend=False,
    )


def _half(rows: pd.DataFrame, legend: Legend) -> go.Scatter:
    inks = [legend.style(str(arm)).ink.light for arm in rows["arm"]]
    return _marks(rows, "median", "half of all starts", {"symbol": "circle", "size": 11, "color": inks})


def _most(rows: pd.DataFrame, legend: Legend) -> go.Scatter:
    known = rows[rows["tail"].notna()]
    inks = [legend.style(str(arm)).ink.light for arm in known["arm"]]
    return _marks(
        known, "tail", "99 of 100", {"symbol": "line-ns", "size": 12, "line": {"width": 3, "color": inks}}
    )


def _marks(rows: pd.DataFrame, column: str, name: str, marker: dict[str, object]) -> go.Scatter:
    return go.Scatter(
        x=rows[column],
        y=rows.index,
        mode="markers",
        name=name,
        marker=marker,
        text=rows["note"],
        hovertemplate="%{text}<extra></extra>",
    )


def ecdf(samples: pd.DataFrame, legend: Legend, mark: float | None = None) -> go.Figure:
    """Share of starts done after a time, an arm a step line, on a log axis. `samples` are of one metric.

    `mark` is a time in the metric's unit drawn as a vertical line (a claim's limit), when given.
    """
    unit = str(samples["unit"].iloc[0])
    samples = samples[samples["value"] > 0]
    low = float(samples["value"].min())
    high = max(float(samples["value"].max()), mark or 0.0)
    lines = [
        _steps(legend, str(arm), np.sort(rows["value"].to_numpy(dtype="float64")), unit, high * 1.6)
        for arm, rows in samples.groupby("arm", sort=False, observed=True)
    ]
    limit = line_at("x", mark or 0.0, dash="dash", color=arms.INK["muted"].light)
    words = words_at(math.log10(mark or 1.0), plain(f"{mark or 0:g} {unit}"), "center")
    return blank(
        360,
        lines,
        showlegend=True,
        margin={"l": 8, "r": 16, "t": 26, "b": 8},
        shapes=[] if mark is None else [limit],
        annotations=[] if mark is None else [words],
        xaxis=axis("time from the request (log)", **log_ticks(low / 1.6, high * 1.6, unit)),
        yaxis=axis("share of starts done", range=[0, 1.03], tickformat=".0%"),
    )


def _thin(times: Floats, most: int = 800) -> tuple[Floats, Floats]:
    """Sorted times and the share done by each; of many, evenly spaced ranks with both ends."""
    ranks = np.unique(np.linspace(0, len(times) - 1, min(len(times), most)).round().astype(int))
    return times[ranks], (ranks + 1) / len(times)


def _steps(legend: Legend, arm: str, times: Floats, unit: str, end: float) -> go.Scatter:
    look, size = legend.style(arm), len(times)
    at, done = _thin(times)
    at = np.concatenate([at[:1], at, [end]])
    return go.Scatter(
        x=at.astype("float32"),
        y=np.concatenate([[0.0], done, [1.0]]).astype("float32"),
        mode="lines",
        line={"shape": "hv", "width": 2.2, "color": look.ink.light, "dash": look.dash},
        name=named(legend, arm),
        hovertemplate=f"{named(legend, arm)}: %{{y:.0%}} of {size} starts done after %{{x:.3~s}}{plain(unit)}"
        "<extra></extra>",
    )


def phases(samples: pd.DataFrame, names: Sequence[str], legend: Legend) -> go.Figure:
    """What share of a start each phase takes: a bar a system, a colour a phase.

    `samples` hold the metrics `names`, `startup.phase.<name>`, which are in order of time. The length of a
    whole start stands in its row's name.
    """
    table = medians(samples)
    systems = list(dict.fromkeys(level.arm for level in table))
    totals = {arm: sum(level.median for level in table if level.arm == arm) for arm in systems}
    names = [name for name in names if any(level.metric == name for level in table)]
    labels = {arm: f"{named(legend, arm)}, {plain(quantity(totals[arm], table[0].unit))}" for arm in systems}
    bars = [
        _segments([level for level in table if level.metric == name], totals, labels, place)
        for place, name in enumerate(names)
    ]
    return by_row(
        [labels[arm] for arm in systems],
        bars,
        row=34,
        barmode="stack",
        bargap=0.25,
        xaxis=axis(
            "share of the start",
            range=[0, 1],
            tickvals=[0, 0.25, 0.5, 0.75, 1],
            tickformat=".0%",
            showgrid=False,
        ),
    )


def _segments(
    levels: Sequence[Level], totals: dict[str, float], labels: dict[str, str], place: int
) -> go.Bar:
    name = plain(levels[0].metric.removeprefix("startup.phase.").replace("_", " "))
    systems = list(totals)
    shares = [level.median / totals[level.arm] if totals[level.arm] else 0.0 for level in levels]
    lengths = [plain(quantity(level.median, level.unit)) for level in levels]
    return go.Bar(
        x=shares,
        y=[systems.index(level.arm) for level in levels],
        orientation="h",
        name=name,
        marker={"color": arms.phase_ink(place), "line": {"width": 0}},
        text=[
            f"<b>{labels[level.arm]}</b><br>{name}: {length} ({part:.0%})"
            for level, length, part in zip(levels, lengths, shares, strict=True)
        ],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
