"""The study as a figure: each design's verdicts by true ratio, one line per world. Plain SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from bench.stats.location import Floats
from bench.stats.validate.designs import DESIGNS
from bench.stats.validate.study import ALPHA, MARGIN, TRUTHS, VerdictCounts
from bench.stats.validate.table import Results
from bench.stats.validate.worlds import WORLDS, World

WIDTH, HEIGHT, GAP, LEFT, TOP = 250, 220, 34, 46, 62
SUPPORTED, REFUTED, INK, PALE = "#1b6ca8", "#c2571a", "#333", "#ccc"
TITLES = ("interleaved, t over sessions", "all of A, then all of B", "pooled slices, t-test")


def draw(results: Results) -> str:
    """Return an SVG document: one panel per design, with looks; blue is supported, orange refuted."""
    total = LEFT + len(DESIGNS) * (WIDTH + GAP), TOP + HEIGHT + 62
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" '
        'font-family="sans-serif" font-size="11" role="img">',
        "<title>Share of runs called supported or refuted, by true ratio, design and noise</title>",
        f'<rect width="{total[0]}" height="{total[1]}" fill="#fff"/>',
        _text(LEFT, 18, f"Called at margin {MARGIN:g}, with looks; one line a noise", size=13, weight="bold"),
        _key(LEFT, 36),
    ]
    for place, (design, title) in enumerate(zip(DESIGNS, TITLES, strict=True)):
        parts += _panel(
            LEFT + place * (WIDTH + GAP), title, [results[w.name][design] for w in _held(results)]
        )
    return "\n".join([*parts, "</svg>\n"])


def _held(results: Results) -> list[World]:
    return [world for world in WORLDS if world.held and world.name in results]


def _panel(left: float, title: str, worlds: Sequence[VerdictCounts]) -> Iterable[str]:
    yield _text(left, TOP - 6, title, weight="bold")
    yield f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="{PALE}"/>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield _text(left - 5, _y(share) + 4, f"{100 * share:.0f} %", anchor="end")
    for truth in (0.97, 0.98, 0.99, 1.0, 1.01, 1.02):
        yield _text(left + _x(truth), TOP + HEIGHT + 15, f"{truth:.2f}", anchor="middle")
    yield _text(left + WIDTH / 2, TOP + HEIGHT + 32, "true ratio", anchor="middle")
    yield _line(left, _y(ALPHA), left + WIDTH, _y(ALPHA), INK, dashed=True)
    edge = left + _x(MARGIN)
    yield _line(edge, TOP, edge, TOP + HEIGHT, INK, dashed=True)
    for counts in worlds:
        yield _curve(left, counts.look_supported / counts.runs, SUPPORTED)
        yield _curve(left, counts.look_refuted / counts.runs, REFUTED)


def _curve(left: float, shares: Floats, colour: str) -> str:
    points = " ".join(
        f"{left + _x(truth):.1f},{_y(float(share)):.1f}" for truth, share in zip(TRUTHS, shares, strict=True)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity="0.65"/>'


def _key(left: float, height: float) -> str:
    entries = ((SUPPORTED, "called supported"), (REFUTED, "called refuted"))
    drawn = []
    for place, (colour, words) in enumerate(entries):
        start = left + 130 * place
        drawn.append(_line(start, height - 4, start + 22, height - 4, colour))
        drawn.append(_text(start + 28, height, words))
    start = left + 130 * len(entries)
    drawn.append(_line(start, height - 4, start + 22, height - 4, INK, dashed=True))
    drawn.append(_text(start + 28, height, "margin; at it, no line may pass 5 %"))
    return "\n".join(drawn)


def _x(truth: float) -> float:
    return (truth - TRUTHS[0]) / (TRUTHS[-1] - TRUTHS[0]) * (WIDTH - 24) + 12


def _y(share: float) -> float:
    return TOP + HEIGHT - 8 - share * (HEIGHT - 16)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="3 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 11, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{INK}">{escape(words)}</text>'
    )
