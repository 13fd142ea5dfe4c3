"""Charts with the words and the table that go beside them, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import pandas as pd
import plotly.graph_objects as go

from bench.answers.metric_names import metric_words, tail_words
from bench.answers.words import quantity
from reports.arms import Legend
from reports.figures import drift, levels, startup
from reports.figures.base import Level, medians, plain
from reports.load import Evidence
from reports.outliers import extremes


class TextTable(msgspec.Struct, frozen=True):
    """Plain words in columns; the accessible twin of a chart."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One chart: plotly JSON, its height in CSS pixels, a text alternative, and its numbers as a table."""

    id: str
    title: str
    lead: str = ""
    alt: str
    figure: str
    height: int
    table: TextTable
    wide: bool = True


def panel(
    name: str,
    title: str,
    figure: go.Figure,
    table: TextTable,
    *,
    lead: str = "",
    alt: str = "",
    wide: bool = True,
) -> Panel:
    """Bind a figure to its words."""
    return Panel(
        id=name,
        title=title,
        lead=lead,
        alt=alt or title,
        figure=figure.to_json(),
        height=int(figure.layout.height),
        table=table,
        wide=wide,
    )


def phases(evidence: Evidence) -> Iterator[Panel]:
    """What a start is made of."""
    names = _names(evidence, "startup.phase.")
    phases = evidence.of(*names)
    phases = phases[phases["value"] > 0]
    if len(phases):
        yield panel(
            "phases",
            "What a start is made of",
            startup.phases(phases, names, evidence.legend),
            median_table(phases, evidence.legend),
            lead="Medians of each phase by the host's clock, as shares of the sum in the row's name.",
            alt="Stacked bars of the phases of a start, one bar per system; the table has their medians.",
        )


def distributions(evidence: Evidence) -> Iterator[Panel]:
    """The share of starts done over time, one picture a way of starting."""
    limit = next((c.margin for c in evidence.claims.claim if c.kind == "quantile" and c.unit == "s"), None)
    titles = {
        "startup.first_instruction": "Request to the program's first instruction",
        "startup.first_instruction.paced": "The same, after an idle gap",
        "startup.first_byte": "Request to the first byte a server answers",
    }
    names = [name for name in _names(evidence, "startup.") if not name.startswith("startup.phase.")]
    for name in sorted(names, key=lambda name: list(titles).index(name) if name in titles else 9):
        rows = evidence.of(name)
        yield panel(
            f"ecdf-{name}",
            titles.get(name, name),
            startup.ecdf(rows, evidence.legend, limit if rows["unit"].iloc[0] == "s" else None),
            quantile_table(rows, evidence.legend),
            alt=f"Share of starts done over time for {name}, one line per system; the table has quantiles.",
        )


Shown = Panel | str
"""A chart, or a line of text where a chart would say nothing."""


def costs(evidence: Evidence, prefix: str, skip: str = "") -> Iterator[Shown]:
    """A bar chart for every metric that begins with `prefix`, except `skip`."""
    shown: dict[str, list[Level]] = {}
    for name in (name for name in _names(evidence, prefix) if name != skip):
        rows, words = evidence.of(name), _title(metric_words(name))
        table = medians(rows)
        twin = next((other for other, known in shown.items() if levels.alike(known, table)), None)
        shown[name] = table
        if twin:
            yield f"{words}: the same as {metric_words(twin)}."
        elif not levels.differ(table):
            yield _fact(evidence.legend, words, table, {name: ""})
        else:
            yield panel(
                f"cost-{name}",
                words,
                levels.cost_bars(rows, "median", evidence.legend),
                median_table(rows, evidence.legend),
                alt=f"Bars of {name}, one a system; the table has the medians.",
                wide=False,
            )


def _title(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"


def _differ(legend: Legend, table: list[Level]) -> bool:
    """Whether a chart says something: of an emulated system everybody knows that it is slow."""
    return levels.differ([level for level in table if not legend.is_emulated(level.arm)] or table)


def _fact(legend: Legend, title: str, table: list[Level], labels: Mapping[str, str]) -> str:
    """What a chart would show where systems do not differ, or where there is only one."""
    real = [level for level in table if not legend.is_emulated(level.arm)] or table
    arms = list(dict.fromkeys(level.arm for level in real))
    slow = dict.fromkeys(level.arm for level in table if level.arm not in arms)
    apart = (
        f"; {legend.label(arm)}: {_each([one for one in table if one.arm == arm], labels)}" for arm in slow
    )
    alike = "the same for all that are not emulated" if slow else "the same for all systems"
    who = legend.label(arms[0]) if len(arms) == 1 else alike
    return f"{title}, {who}: {_each(real, labels)}{''.join(apart)}."


def _each(table: list[Level], labels: Mapping[str, str]) -> str:
    """The median of each metric, of the first system that has it."""
    first = {level.metric: level for level in reversed(table)}
    parts = (
        f"{labels[name]} {quantity(first[name].median, first[name].unit)}".strip()
        for name in labels
        if name in first
    )
    return ", ".join(parts)


NETWORK = (
    ("cpu", "CPU time for each GiB moved", "network.cpu_per_gib."),
    ("unshaped", "Throughput with no line rate (CPU-bound)", "network.throughput_unshaped."),
    ("throughput", "Throughput over a 1 Gbit/s line", "network.throughput."),
    ("throughput-10g", "Throughput over a 10 Gbit/s line", "network.throughput_10g."),
    ("cpu-10g", "CPU time for each GiB moved at 10 Gbit/s", "network.cpu_per_gib_10g."),
    ("reverse", "Throughput towards the instance", "network.throughput_reverse."),
    ("streams", "Throughput, several streams", "network.throughput_streams."),
    ("latency", "Time of one request and its answer", "network.latency."),
    ("loopback", "Loopback inside the instance (no wire)", "network.loopback"),
)


def network(evidence: Evidence) -> Iterator[Shown]:
    """What the network gives and what it costs, one row per network mode."""
    for key, title, prefix in NETWORK:
        names = _names(evidence, prefix)
        if names:
            yield _levels_panel(evidence, f"network-{key}", title, prefix, names)


def memory(evidence: Evidence) -> Iterator[Shown]:
    """Host memory of an instance."""
    yield from costs(evidence, "memory.per_instance")


def disk(evidence: Evidence) -> Iterator[Shown]:
    """Host disk of an instance, then how fast its files are."""
    yield from costs(evidence, "disk.extra_instance")
    yield from costs(evidence, "disk.copy_up", skip="disk.copy_up.time")
    yield from disk_speed(evidence)


DISK = (
    ("Random reads and writes", "disk.rand"),
    ("Sequential reads and writes", "disk.seq"),
    ("Time of a first write to a file of the image (copy-up)", "disk.copy_up.time"),
)


def disk_speed(evidence: Evidence) -> Iterator[Shown]:
    """Read and write rates in the image, the writable layer and a volume."""
    for title, prefix in DISK:
        names = _names(evidence, prefix)
        if names:
            yield _levels_panel(evidence, prefix.strip("."), title, prefix, names)


STEPS = ("create", "start", "stop", "remove")
ENGINE_MEMORY = {"engine.memory": "at rest", "engine.memory.per_container": "for each container"}
IMAGE_TIMES = {
    "image.pull.cold": "first pull",
    "image.pull.warm": "pull of what is there",
    "image.pull.changed": "pull of a changed layer",
    "image.push.changed": "push of a changed layer",
    "image.commit": "commit of 1 MiB",
}


def engines(evidence: Evidence) -> Iterator[Shown]:
    """What users of a daemon wait for: a whole run, then each step of a container's life."""
    yield from costs(evidence, "engine.run")
    for way in ("api", "cli"):
        steps = {f"engine.{step}.{way}": step for step in STEPS}
        yield from _chosen(evidence, f"steps-{way}", f"A container's steps, {tail_words(way)}", steps)
    yield from _chosen(evidence, "engine-memory", "Memory of the daemon", ENGINE_MEMORY)


def images(evidence: Evidence) -> Iterator[Shown]:
    """What moving and keeping images takes: time, bytes on the wire, bytes on disk."""
    yield from _chosen(evidence, "image-times", "Time of pulls, pushes and commits", IMAGE_TIMES)
    new = ("image.pull.cold", "image.pull.changed", "image.push.changed")
    moved = {f"{name}.moved": IMAGE_TIMES[name] for name in new}
    yield from _chosen(evidence, "image-moved", "Bytes moved for each byte that was new", moved)
    kept = {name: f"of {name.rpartition('.')[2]}" for name in _names(evidence, "image.disk_per_container.")}
    title = "Disk of each container, with all that a daemon keeps of it"
    yield from _chosen(evidence, "image-kept", title, dict(sorted(kept.items(), key=lambda one: len(one[0]))))


def _chosen(evidence: Evidence, key: str, title: str, labels: Mapping[str, str]) -> Iterator[Shown]:
    """A row for each of these metrics that is there, in this order."""
    present = [name for name in labels if len(evidence.of(name))]
    if present:
        yield _levels_of(evidence, key, title, {name: labels[name] for name in present})


def _levels_panel(evidence: Evidence, key: str, title: str, prefix: str, names: list[str]) -> Shown:
    whole = prefix.endswith(".")
    labels = {name: tail_words(name.removeprefix(prefix)) if whole else metric_words(name) for name in names}
    return _levels_of(evidence, key, title, labels)


def _levels_of(evidence: Evidence, key: str, title: str, labels: dict[str, str]) -> Shown:
    rows = evidence.of(*labels)
    rows = rows[rows["unit"] == rows["unit"].iloc[0]]
    table = medians(rows)
    if not _differ(evidence.legend, table):
        return _fact(evidence.legend, title, table, labels)
    labels = {name: plain(label) for name, label in labels.items()}
    return panel(
        key,
        title,
        levels.levels(rows, labels, "median and middle half", evidence.legend),
        median_table(rows, evidence.legend),
        alt=f"{title}: one dot per system, one row per mode; the table has the medians.",
        wide=False,
    )


MOST_DRAWN = 40_000
"""Points of all run-order charts together: what keeps a long run's page small."""


def points_each(evidence: Evidence) -> int:
    """How many points a system may have in one run-order chart before neighbours are thinned."""
    series = evidence.shown.groupby(["metric", "arm"], observed=True).ngroups
    return max(100, min(drift.MOST_POINTS, MOST_DRAWN // max(1, series)))


def in_run_order(evidence: Evidence) -> Iterator[tuple[str, str, int]]:
    """(metric, plotly JSON, height) of every metric that has samples, planned ones first."""
    present = set(evidence.shown["metric"].unique())
    most = points_each(evidence)
    starts = evidence.shown["start_ns"]
    span = (int(starts.min()), int(starts.max())) if present else (0, 0)
    ordered = [name for name in evidence.metrics if name in present]
    for name in ordered + sorted(present - set(ordered)):
        rows = evidence.all_of(name)
        figure = drift.run_order(
            rows, span, evidence.legend, most, extremes(rows, evidence.baseline, evidence.legend)
        )
        yield name, figure.to_json(), int(figure.layout.height)


def _names(evidence: Evidence, prefix: str) -> list[str]:
    """Metrics with something to draw: a run cut short may have samples of a control alone."""
    found = [str(name) for name in evidence.compared["metric"].unique() if str(name).startswith(prefix)]
    planned = list(evidence.metrics)
    return sorted(found, key=lambda name: planned.index(name) if name in evidence.metrics else len(planned))


def median_table(samples: pd.DataFrame, legend: Legend) -> TextTable:
    """System, metric, median, middle half and number of samples, in words."""
    rows = [
        (
            legend.label(level.arm),
            metric_words(level.metric),
            quantity(level.median, level.unit),
            f"{quantity(level.low, level.unit)} to {quantity(level.high, level.unit)}",
            f"{level.count:,}",
        )
        for level in medians(samples)
    ]
    return TextTable(("system", "metric", "median", "middle half", "samples"), tuple(rows))


def all_medians(evidence: Evidence) -> TextTable:
    """The median of every metric on every arm, one row per metric: the absolute numbers behind the ratios."""
    found = {(level.metric, level.arm): level for level in medians(evidence.valid)}
    systems = [arm for arm in evidence.arms if any(key[1] == arm for key in found)]
    rows = []
    for metric in _names(evidence, ""):
        cells = (found.get((metric, arm)) for arm in systems)
        shown = (quantity(level.median, level.unit) if level else "–" for level in cells)
        rows.append((metric_words(metric), *shown))
    return TextTable(("metric", *map(evidence.legend.label, systems)), tuple(rows))


def quantile_table(samples: pd.DataFrame, legend: Legend) -> TextTable:
    """Start times at the usual quantiles. p99 means nothing below a hundred samples and is a dash then."""
    unit = str(samples["unit"].iloc[0])

    def cell(values: pd.Series[float], quantile: float, least: int) -> str:
        return quantity(float(values.quantile(quantile)), unit) if len(values) >= least else "–"

    rows = [
        (
            legend.label(str(arm)),
            quantity(float(values.min()), unit),
            cell(values, 0.5, 1),
            cell(values, 0.9, 10),
            cell(values, 0.99, 100),
            quantity(float(values.max()), unit),
            f"{len(values):,}",
        )
        for arm, values in samples.groupby("arm", sort=False, observed=True)["value"]
    ]
    return TextTable(("system", "fastest", "median", "p90", "p99", "slowest", "starts"), tuple(rows))
