"""What all charts share: one plain layout, and the tidy medians they are drawn from."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from bench.answers.words import limit, quantity
from reports.arms import INK, Legend

CLEAR = "rgba(0,0,0,0)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def blank(height: int, traces: Sequence[go.Scatter | go.Bar] = (), **layout: Any) -> go.Figure:
    """A figure on transparent paper, `height` CSS pixels tall, with a legend below the plot.

    Traces and layout are taken at once: plotly checks a figure again at every later change, which costs more
    than all the rest of a page.
    """
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "xanchor": "left"}
    legend |= {"traceorder": "normal"}
    fixed = {
        "template": {},
        "height": height,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 13, "color": INK["text"].light},
        "margin": {"l": 8, "r": 16, "t": 16, "b": 8},
        "legend": legend,
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        "hovermode": "closest",
        "dragmode": False,
    }
    return go.Figure(data=list(traces), layout=fixed | layout)


ROW = 26


def by_row(
    names: Sequence[str], traces: Sequence[go.Scatter | go.Bar], *, row: int = ROW, **layout: Any
) -> go.Figure:
    """A figure with a row for each name, the first on top; a phone shows the names above their rows."""
    fixed = {
        "showlegend": True,
        "meta": {"rows": row},
        "margin": {"l": 8, "r": 16, "t": 26, "b": 8},
        "yaxis": axis(
            showgrid=False,
            range=[len(names) - 0.4, -0.6],
            tickvals=list(range(len(names))),
            ticktext=list(names),
        ),
    }
    return blank(112 + row * max(1, len(names)), traces, **(fixed | layout))


def line_at(axis_letter: str, place: float, **line: Any) -> dict[str, Any]:
    """A shape: a line across the whole plot, below the data, at `place` of the x or y axis."""
    other = "y" if axis_letter == "x" else "x"
    return {
        "type": "line",
        f"{axis_letter}0": place,
        f"{axis_letter}1": place,
        f"{other}ref": f"{other} domain",
        f"{other}0": 0,
        f"{other}1": 1,
        "layer": "below",
        "line": {"width": 1, **line},
    }


def words_at(place: float, text: str, side: str) -> dict[str, Any]:
    """An annotation: what a line at `place` of the x axis is, above the plot."""
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


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """A quiet axis: thin grid, no zero line, room made for its own labels."""
    return {
        "title": {"text": title, "font": {"size": 12, "color": INK["muted"].light}, "standoff": 10},
        "gridcolor": INK["grid"].light,
        "linecolor": INK["axis"].light,
        "tickfont": {"size": 12, "color": INK["text"].light},
        "zeroline": False,
        "automargin": True,
        **more,
    }


def log_ticks(low: float, high: float, unit: str = "") -> dict[str, Any]:
    """Ticks of a log axis at 1, 2, 5 or only at tens, so that two to ten of them fit; range included.

    With a unit every tick says its own: `100 µs`, `1 ms`, `1 s`.
    """
    first, last = math.log10(low), math.log10(high)
    steps = (1, 2, 5) if last - first < 1.3 else (1,)
    ticks = [m * 10.0**e for e in range(math.floor(first) - 1, math.ceil(last) + 1) for m in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    named = {"ticktext": [plain(limit(quantity(tick, unit))) for tick in ticks]} if unit else {}
    return {"type": "log", "range": [first, last], "tickvals": ticks, **named}


class Level(msgspec.Struct, frozen=True):
    """Median and quartiles of one metric on one arm, in the samples' own unit."""

    metric: str
    arm: str
    unit: str
    low: float
    median: float
    high: float
    count: int


def medians(samples: pd.DataFrame) -> list[Level]:
    """A Level for each (metric, arm) of the samples, in the order of their first rows."""
    groups = samples.groupby(["metric", "arm"], sort=False, observed=True)
    return [
        Level(str(metric), str(arm), str(rows["unit"].iloc[0]), *_quartiles(rows["value"]), len(rows))
        for (metric, arm), rows in groups
    ]


def _quartiles(values: pd.Series) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values.to_numpy(dtype="float64"), [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def plain(text: object) -> str:
    """Text that plotly shows as it stands: its labels know a subset of HTML."""
    return html.escape(str(text), quote=False)


def named(legend: Legend, arm: object) -> str:
    """An arm's label, safe inside a chart."""
    return plain(legend.label(str(arm)))
