"""The picture of two designs: for each metric both intervals, and behind them what they were made of."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import msgspec

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 860, 74, 150, 20, 46, 40
MARGIN = 0.01
"""The 1 % under test, as a dashed line on either side of equality."""

MOST = 0.25
"""The axis ends here at the latest; what lies beyond stands at the edge."""

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1d2329 } .muted { fill: #5b6570; font-size: 12px }
.ours { stroke: #0a5cc2; fill: #0a5cc2 } .theirs { stroke: #b34a00; fill: #b34a00 }
.first { fill: none } .dot { stroke-width: 1; opacity: .45 } .bar { stroke-width: 4 }
.rule { stroke: #a9b1b9 } .paper { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #e8ebee } .muted { fill: #a3adb8 } .paper { fill: #14181c } .rule { stroke: #56606b }
  .ours { stroke: #6cb2ff; fill: #6cb2ff } .theirs { stroke: #ffa766; fill: #ffa766 }
}
"""


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """One design on one metric: interval and the points behind it, logarithms, 0 where A and B are equal.

    interval: low end, estimate, high end. first: of the other design, the points of A, drawn hollow.
    """

    interval: tuple[float, float, float]
    points: Sequence[float]
    first: Sequence[float] = ()


def picture(metrics: Sequence[tuple[str, Strip, Strip]]) -> str:
    """An SVG: a row a metric, in it the interleaved design above the other one."""
    ends = [abs(end) for _, *both in metrics for one in both for end in one.interval]
    reach = min(MOST, max([1.5 * MARGIN, *ends]) * 1.08)
    height = TOP + ROW * len(metrics) + BOTTOM
    marks = (0.0, MARGIN, -MARGIN, *(side * reach * 0.9 for side in (1, -1)))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'aria-label="Intervals of two designs for each metric">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            f'<text x="{LEFT}" y="20" class="ours" stroke="none">interleaved pairs (a dot a session)</text>',
            f'<text x="{LEFT + 270}" y="20" class="theirs" stroke="none">all of A (hollow), then B</text>',
            *(_rule(mark, reach, height, dashed=abs(mark) == MARGIN) for mark in marks[:3]),
            *(_tick(mark, reach, height) for mark in marks),
            *(line for place, row in enumerate(metrics) for line in _row(place, row, reach)),
            "</svg>\n",
        ]
    )


def _x(value: float, reach: float) -> float:
    inside = max(-reach, min(reach, value))
    return LEFT + (inside + reach) / (2 * reach) * (WIDTH - LEFT - RIGHT)


def _rule(mark: float, reach: float, height: int, *, dashed: bool) -> str:
    x = _x(mark, reach)
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM}"{dash}/>'


def _tick(mark: float, reach: float, height: int) -> str:
    words = f"{100 * mark:+.1f} %" if mark else "equal"
    place = f'x="{_x(mark, reach):.1f}" y="{height - BOTTOM + 20}" text-anchor="middle"'
    return f'<text class="muted" {place}>{words}</text>'


def _row(place: int, row: tuple[str, Strip, Strip], reach: float) -> Iterable[str]:
    name, ours, theirs = row
    y = TOP + ROW * place
    yield f'<text x="8" y="{y + 34}">{html.escape(name)}</text>'
    yield from _strip(ours, "ours", y + 18, reach)
    yield from _strip(theirs, "theirs", y + 46, reach)


def _strip(one: Strip, kind: str, y: int, reach: float) -> Iterable[str]:
    for points, hollow in ((one.points, ""), (one.first, " first")):
        for value in points:
            yield f'<circle class="{kind} dot{hollow}" cx="{_x(value, reach):.1f}" cy="{y}" r="4"/>'
    low, middle, high = (_x(value, reach) for value in one.interval)
    yield f'<line class="{kind} bar" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
    yield f'<line class="{kind} bar" x1="{middle:.1f}" x2="{middle:.1f}" y1="{y - 9}" y2="{y + 9}"/>'
