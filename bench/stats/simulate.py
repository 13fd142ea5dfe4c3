"""How often would the judge be wrong? Seeded simulation of pairs in sessions under known truths.

`python -m bench.stats.simulate` prints the tables of docs/method.md; the tests run small versions of it.
Nothing here is used by the judge. Units: log-ratios; "false" rates are shares of simulated metrics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec
import numpy as np
from scipy import stats as sps

from bench.stats.control import FLOOR, RESERVE, joint_control, within_error
from bench.stats.location import Floats, hodges_lehmann
from bench.stats.quantile import quantile_bounds

Generator = np.random.Generator
Draw = Callable[[Generator, tuple[int, ...]], Floats]
Bounds = tuple[Floats, Floats]


class World(msgspec.Struct, frozen=True, kw_only=True):
    """How noise is made: `session` draws one number a session, `pair` one a pair; truth is 0."""

    name: str
    session: Draw
    pair: Draw


def _normal(scale: float) -> Draw:
    return lambda rng, shape: scale * rng.standard_normal(shape)


def _nothing(_rng: Generator, shape: tuple[int, ...]) -> Floats:
    return np.zeros(shape)


def _uneven(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Sessions of very unequal noise: one in four has five times the spread."""
    return 0.005 * rng.standard_normal(shape) * np.where(rng.random(shape) < 0.25, 5.0, 1.0)


def _spikes(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """A busy neighbour: 10 % of slices are hit by up to 40 %, on either side of the pair alike."""
    hit = (rng.random(shape) < 0.1) * rng.uniform(0.0, 0.4, shape)
    other = (rng.random(shape) < 0.1) * rng.uniform(0.0, 0.4, shape)
    return 0.01 * rng.standard_normal(shape) + hit - other


def _heavy(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return 0.01 * rng.standard_t(2.0, shape)


def _skewed(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Boot luck with a long slow tail: log-normal with skewness 1.75, centred on its mean."""
    return 0.02 * (float(np.exp(0.5**2 / 2)) - rng.lognormal(0.0, 0.5, shape))


def _both_skewed(rng: Generator, shape: tuple[int, ...]) -> Floats:
    return _skewed(rng, shape) - _skewed(rng, shape)


def _modes(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Lucky or unlucky placement of either instance: ±3 % or nothing."""
    return 0.03 * (rng.integers(0, 2, shape) - rng.integers(0, 2, shape)).astype(np.float64)


WORLDS = (
    World(name="pair noise only", session=_nothing, pair=_normal(0.01)),
    World(name="session luck", session=_normal(0.01), pair=_normal(0.01)),
    World(name="uneven sessions", session=_uneven, pair=_normal(0.01)),
    World(name="busy neighbour", session=_normal(0.005), pair=_spikes),
    World(name="heavy tails", session=_normal(0.005), pair=_heavy),
    World(name="skewed luck", session=_skewed, pair=_normal(0.01)),
    World(name="two modes", session=_modes, pair=_normal(0.005)),
)

CONTROL_WORLDS = (
    *(world for world in WORLDS if world.name != "skewed luck"),
    World(name="skewed luck of both", session=_both_skewed, pair=_normal(0.01)),
)
"""Two copies of one arm are alike, so their log-ratio is symmetric: skewed luck strikes either."""


def draw(world: World, rng: Generator, shape: tuple[int, int, int]) -> Floats:
    """Log-ratios of shape (runs, sessions, pairs) whose true location is 0."""
    return world.session(rng, shape[:2])[..., None] + world.pair(rng, shape)


def pooled_t(x: Floats, alpha: float, _rng: Generator) -> Bounds:
    """Student's t over all pairs as if independent: what not to do."""
    return student(x.reshape(x.shape[0], -1), alpha)


def median_t(x: Floats, alpha: float, _rng: Generator) -> Bounds:
    """t over session medians: the judge's own method (bench.stats.cluster.t_interval)."""
    return student(np.median(x, axis=-1), alpha)


def hodges_t(x: Floats, alpha: float, _rng: Generator) -> Bounds:
    """t over session Hodges–Lehmann estimates."""
    return student(hodges_lehmann(x), alpha)


def percentile(x: Floats, alpha: float, rng: Generator) -> Bounds:
    """Percentile bootstrap over sessions of the mean of session medians (Efron & Tibshirani 1993, ch. 13)."""
    loc = np.median(x, axis=-1)
    pick = rng.integers(0, loc.shape[1], (loc.shape[0], 400, loc.shape[1]))
    means = np.take_along_axis(loc[:, None, :], pick, axis=-1).mean(axis=-1)
    low, high = np.quantile(means, [alpha, 1 - alpha], axis=-1)
    return low, high


def wild(x: Floats, alpha: float, rng: Generator) -> Bounds:
    """Studentised wild cluster bootstrap, Webb's six points (Cameron, Gelbach & Miller 2008; Webb 2014)."""
    loc = np.median(x, axis=-1)
    count = loc.shape[1]
    centre = loc.mean(axis=1, keepdims=True)
    points = np.sqrt(np.array([0.5, 1.0, 1.5]))
    weights = rng.choice(np.concatenate([points, -points]), (loc.shape[0], 400, count))
    fake = (loc - centre)[:, None, :] * weights
    t = fake.mean(axis=-1) / (fake.std(axis=-1, ddof=1) / np.sqrt(count))
    se = loc.std(axis=1, ddof=1) / np.sqrt(count)
    lower, upper = np.quantile(t, [alpha, 1 - alpha], axis=-1)
    return centre[:, 0] - upper * se, centre[:, 0] - lower * se


METHODS: dict[str, Callable[[Floats, float, Generator], Bounds]] = {
    "pooled t": pooled_t,
    "median + t": median_t,
    "HL + t": hodges_t,
    "median + percentile": percentile,
    "median + wild": wild,
}


def student(locations: Floats, alpha: float) -> Bounds:
    """Bounds of `t_interval` for many runs at once: shape (runs, clusters)."""
    count = locations.shape[1]
    half = sps.t.ppf(1 - alpha, count - 1) * locations.std(axis=1, ddof=1) / np.sqrt(count)
    centre = locations.mean(axis=1)
    return centre - half, centre + half


def false_rates(
    world: World, method: str, sessions: int, pairs: int, runs: int, seed: int, alpha: float = 0.05
) -> tuple[float, float, float]:
    """(false supported, false refuted, mean distance of the low bound) where the truth lies on the margin.

    On the margin is the worst case: any truth further on the wrong side is called right more often.
    """
    rng = np.random.default_rng(seed)
    low, high = METHODS[method](draw(world, rng, (runs, sessions, pairs)), alpha, rng)
    return float(np.mean(low > 0)), float(np.mean(high < 0)), float(np.mean(-low))


def control_rate(
    world: World,
    sessions: int,
    metrics: int,
    pairs: int,
    runs: int,
    seed: int,
    bias: float = 0.0,
    alpha: float = 0.01,
) -> float:
    """Share of runs whose A/A control fails at the judge's level, every metric drawn from `world`."""
    rng = np.random.default_rng(seed)
    shape = (runs, metrics * sessions, pairs)
    x = draw(world, rng, shape).reshape(runs, metrics, sessions, pairs) + bias
    locations = np.median(x, axis=-1)
    deviation = np.median(np.abs(x - locations[..., None]).reshape(runs, metrics, -1), axis=-1)
    within = within_error(deviation, np.full(metrics, float(pairs)))
    return float(np.mean(joint_control(locations, within, FLOOR).joint <= RESERVE * alpha))


def quantile_rates(
    q: float, sessions: int, starts: int, luck: float, runs: int, seed: int
) -> tuple[float, float]:
    """(share with the true q-quantile above `high`, share below `low`); log-normal starts, session luck."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(sessions), starts)
    truth = float(np.exp(sps.norm.ppf(q) * np.hypot(luck, 0.2)))
    above = below = 0
    for _ in range(runs):
        logs = luck * rng.standard_normal(sessions)[groups] + 0.2 * rng.standard_normal(groups.size)
        bounds = quantile_bounds(np.exp(logs), groups, q, 0.05)
        above += bounds.high < truth
        below += bounds.low > truth
    return above / runs, below / runs


Table = tuple[str, list[str], list[list[str]]]


def _percent(*rates: float) -> str:
    return " / ".join(f"{100 * rate:.1f}" for rate in rates)


def interval_table(runs: int = 10000) -> Table:
    """False supported / false refuted in per cent, truth on the margin, six pairs a session."""
    rows = [
        [world.name, str(count)]
        + [_percent(*false_rates(world, name, count, 6, runs, 1)[:2]) for name in METHODS]
        for world in WORLDS
        for count in (4, 6, 12, 30)
    ]
    return "False supported / false refuted, %", ["noise", "sessions", *METHODS], rows


def resolution_table(runs: int = 4000) -> Table:
    """Mean distance in per cent from the estimate's truth to the lower bound: what a run can resolve."""
    rows = [
        [world.name]
        + [
            _percent(*(false_rates(world, name, count, 6, runs, 1)[2] for name in ("median + t", "HL + t")))
            for count in (4, 6, 12, 30)
        ]
        for world in WORLDS
    ]
    heads = ["noise", *(f"{count} sessions" for count in (4, 6, 12, 30))]
    return "Distance to the lower bound, median + t / HL + t, %", heads, rows


def control_table(runs: int = 4000) -> Table:
    """Share of sound runs, in per cent, whose A/A control fails."""
    rows = [
        [world.name, str(count)]
        + [f"{100 * control_rate(world, count, metrics, 4, runs, 2):.2f}" for metrics in (1, 10, 40)]
        for world in CONTROL_WORLDS
        for count in (4, 6, 12)
    ]
    return (
        "A/A control failed by chance, %",
        ["noise", "sessions", "1 metric", "10 metrics", "40 metrics"],
        rows,
    )


def power_table(runs: int = 400) -> Table:
    """Share of runs with a real bias in all of 40 metrics, in per cent, whose A/A control fails."""
    rows = [
        [f"{100 * bias:g} %"]
        + [_percent(control_rate(WORLDS[1], count, 40, 4, runs, 3, bias=bias)) for count in (4, 5, 6, 8, 12)]
        for bias in (0.002, 0.005, 0.01, 0.02)
    ]
    heads = ["bias", *(f"{count} sessions" for count in (4, 5, 6, 8, 12))]
    return "A/A control failed by a bias common to all metrics (session luck), %", heads, rows


def quantile_table(runs: int = 1000) -> Table:
    """Share of runs, in per cent, whose bound lies on the wrong side of the true 99th percentile."""
    rows = [
        [
            str(count),
            str(starts),
            f"{100 * luck:g} %",
            _percent(*quantile_rates(0.99, count, starts, luck, runs, 4)),
        ]
        for count, starts in ((4, 170), (6, 100), (8, 60), (8, 25))
        for luck in (0.0, 0.05, 0.2)
    ]
    heads = ["sessions", "starts a session", "session luck", "above high / below low"]
    return "99th percentile, spread of single starts 20 %", heads, rows


def main() -> None:
    """Print all tables as Markdown; a minute or two."""
    for build in (interval_table, resolution_table, control_table, power_table, quantile_table):
        title, heads, rows = build()
        lines = [f"**{title}**", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        sys.stdout.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
