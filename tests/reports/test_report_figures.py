from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.testing import fake_arms
from reports import arms, questions
from reports.figures import drift, forest, levels, startup
from reports.figures.base import Level, log_ticks
from reports.load import Evidence
from tests.reports.made_verdicts import evidence_of, verdict


def rows(*ratios: float, state: str = "supported") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [f"metric {place}" for place in range(len(ratios))],
            "estimate": ratios,
            "low": [ratio * 0.99 for ratio in ratios],
            "high": [ratio * 1.01 for ratio in ratios],
            "state": state,
            "note": "",
        }
    )


def span(figure: Any) -> tuple[float, float]:
    low, high = figure.layout.xaxis.range
    return low, high


def test_a_forest_has_lines_at_the_margin_and_at_the_host() -> None:
    figure = forest.forest(rows(1.0, 0.98))

    assert [shape.x0 for shape in figure.layout.shapes] == [99.0, 100.0]
    assert "per cent of the host" in figure.layout.xaxis.title.text


def test_a_forest_is_zoomed_in_where_99_and_100_differ() -> None:
    low, high = span(forest.forest(rows(1.0, 0.99, 1.01)))

    assert (100 - 99) / (high - low) > 0.1


def test_a_forest_holds_far_values_at_its_edge_and_says_them() -> None:
    figure = forest.forest(rows(1.0, 0.99, 1.01, 0.11, 1.4))
    low, high = span(figure)

    assert low > 88
    assert high < 112
    texts = [note.text.replace("\u00a0", " ") for note in figure.layout.annotations]
    assert "◀ 11.0 %" in texts
    assert "140.0 % ▶" in texts


def test_an_interval_that_goes_on_outside_ends_in_an_arrow() -> None:
    wide = rows(1.0, 1.0).assign(low=[0.62, 0.99], high=[1.3, math.inf])
    figure = forest.forest(wide)
    low, high = span(figure)
    arrows = {
        trace.marker.symbol: list(trace.y) for trace in figure.data if "triangle" in str(trace.marker.symbol)
    }

    assert arrows == {"triangle-left": [0], "triangle-right": [0, 1]}
    assert figure.data[0].x[0] - figure.data[0].error_x.arrayminus[0] == pytest.approx(low)
    assert figure.data[0].x[0] + figure.data[0].error_x.array[0] == pytest.approx(high)


def test_an_interval_inside_has_no_arrow() -> None:
    assert not [trace for trace in forest.forest(rows(1.0)).data if "triangle" in str(trace.marker.symbol)]


def test_only_what_has_a_value_near_the_host_is_worth_a_picture() -> None:
    assert forest.is_near(rows(0.11, 1.05))
    assert not forest.is_near(rows(0.11, 0.4))


def test_starts_are_beside_one_labelled_second(evidence: Evidence) -> None:
    (panel,) = questions.starts(evidence)
    figure = json.loads(panel.figure)

    assert figure["layout"]["shapes"][0]["x0"] == 1.0
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["1 s"]
    labels = figure["layout"]["yaxis"]["ticktext"]
    assert labels[0] == "container (ours): to the first instruction"
    assert labels[-1].startswith("VM (emulated, TCG)")
    assert "1\u00a0s" in figure["layout"]["xaxis"]["ticktext"]


def test_pictures_have_the_worst_first(evidence: Evidence) -> None:
    deciding, others = questions.forests(evidence)
    worst = [row[0] for row in deciding[0].table.rows]

    assert worst[0].startswith("CPU time per GiB sent")
    assert [panel.id for panel in deciding] == [
        f"forest-{arm}-primary" for arm in ("runtime", "again", "crun")
    ]
    assert {panel.id.rpartition("-")[2] for panel in others} == {"disk", "stress"}


def test_a_system_that_is_not_emulated_has_its_picture_however_far_it_is(evidence: Evidence) -> None:
    far = [
        verdict("performance", "cpu.integer", "refuted", arm=arm, estimate=0.4, low=0.3, high=0.5)
        for arm in ("runtime", "vm-tcg")
    ]
    deciding, _ = questions.forests(evidence_of(*far, evidence=evidence))

    assert [panel.id for panel in deciding] == ["forest-runtime-primary"]
    assert "\u25c0 40.0" in json.loads(deciding[0].figure)["layout"]["annotations"][-1]["text"]


def test_the_table_of_ratios_begins_with_the_worst_of_a_real_processor(evidence: Evidence) -> None:
    found = questions.shades(evidence)

    assert found is not None
    assert found.systems[-1] == "VM (emulated, TCG)"
    lows = [min(float(c.text) for c in row.cells[:-1] if c) for row in found.deciding]
    assert lows == sorted(lows)
    assert {row.metric for row in found.others} >= {"cpu.syscall", "disk.seqread.image"}


def test_states_differ_in_shape_and_not_in_colour_alone() -> None:
    assert len(set(forest.SYMBOLS.values())) == len(forest.SYMBOLS)


def test_an_ecdf_ends_at_one_and_holds_every_start(evidence: Evidence) -> None:
    samples = evidence.of("startup.first_instruction")
    figure = startup.ecdf(samples, evidence.legend, mark=1.0)
    runtime = next(trace for trace in figure.data if trace.name == evidence.legend.label("runtime"))

    assert figure.layout.xaxis.type == "log"
    assert runtime.y[-1] == 1.0
    assert len(runtime.x) == (samples["arm"] == "runtime").sum() + 2


def test_a_long_ecdf_is_thinned_and_keeps_both_ends() -> None:
    times = np.sort(np.random.default_rng(1).exponential(1.0, 50_000))
    at, done = startup._thin(times, most=500)

    assert len(at) == 500
    assert (at[0], at[-1], done[-1]) == (times[0], times[-1], 1.0)


def test_phases_share_one_scale_and_a_colour_each(evidence: Evidence) -> None:
    names = [name for name in evidence.metrics if name.startswith("startup.phase.")]
    figure = startup.phases(evidence.of(*names), names, evidence.legend)
    totals: dict[int, float] = {}
    for trace in figure.data:
        for place, part in zip(trace.y, trace.x, strict=True):
            totals[place] = totals.get(place, 0.0) + part

    assert list(totals.values()) == pytest.approx([1.0] * 3)
    assert len({trace.marker.color for trace in figure.data}) == len(figure.data) > 5
    assert figure.layout.showlegend
    assert figure.layout.yaxis.ticktext[0].startswith("container (ours), 1.0")


def test_ticks_of_a_log_axis_say_their_unit() -> None:
    assert [text.replace("\u00a0", " ") for text in log_ticks(5e-5, 2.0, "s")["ticktext"]] == [
        "100 µs",
        "1 ms",
        "10 ms",
        "100 ms",
        "1 s",
    ]


def level(metric: str, arm: str, median: float) -> Level:
    return Level(metric, arm, "s", median, median, median, 9)


def test_a_chart_of_equal_values_would_say_nothing() -> None:
    same = [level("a", "host", 1.0), level("a", "runtime", 1.01), level("b", "host", 5.0)]

    assert not levels.differ(same)
    assert levels.differ([*same, level("b", "runtime", 5.2)])
    assert levels.alike(same[:2], [level("c", "host", 1.0), level("c", "runtime", 1.0)])
    assert not levels.alike(same[:2], [level("c", "host", 1.0), level("c", "runtime", 1.1)])


def test_a_cost_of_nothing_is_drawn(few: pd.DataFrame) -> None:
    nothing = few[few["metric"] == "memory.per_instance"].assign(value=0.0)

    assert set(levels.cost_bars(nothing, "memory", arms.Legend()).data[0].text) == {"0\u00a0bytes"}


def test_levels_begin_at_zero_unless_far_apart(evidence: Evidence) -> None:
    near = levels.levels(
        evidence.of("network.throughput.bridge"), {"network.throughput.bridge": "bridge"}, "", evidence.legend
    )
    far = levels.levels(evidence.of("disk.copy_up.time"), {"disk.copy_up.time": ""}, "", evidence.legend)

    assert near.layout.xaxis.range[0] == 0
    assert far.layout.xaxis.type == "log"


def test_run_order_marks_what_was_not_counted_with_its_reason(evidence: Evidence) -> None:
    name = evidence.samples[~evidence.samples["valid"]]["metric"].iloc[0]
    figure = drift.run_order(evidence.all_of(name), (0, 10**12), evidence.legend)
    crosses = next(trace for trace in figure.data if trace.name == "not counted")

    assert "CPU pressure" in crosses.text[0]
    assert len(figure.layout.shapes) == evidence.run.plan.sessions


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 60))
def test_thinning_keeps_the_extremes_and_the_order(values: list[float], most: int) -> None:
    frame = pd.DataFrame({"value": values, "place": range(len(values))})
    kept = drift.thin(frame, most)

    assert len(kept) <= max(most, 2)
    assert kept["place"].is_monotonic_increasing
    assert (kept["value"].min(), kept["value"].max()) == (min(values), max(values))


@given(st.floats(1e-6, 1e6), st.floats(1.1, 1e7))
def test_log_ticks_lie_inside_the_range(low: float, span: float) -> None:
    ticks = log_ticks(low, low * span)["tickvals"]

    assert all(low <= tick <= low * span for tick in ticks)


def contrast(first: str, second: str) -> float:
    """The WCAG contrast ratio of two colours."""

    def light(colour: str) -> float:
        parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


PLANNED = fake_arms(again="again", runtime="runtime", vm="vm-kvm", vm_untuned="vm-tcg-untuned")
LEGEND = arms.Legend((*PLANNED, *fake_arms(nnd="nnd", docker="docker", crun="crun", lxc="lxc")[3:]))


@pytest.mark.parametrize("arm", [*(arm.name for arm in PLANNED), "nnd", "docker", "crun", "lxc", "?"])
def test_every_arm_stands_out_on_light_and_dark_paper(arm: str) -> None:
    ink = LEGEND.style(arm).ink

    assert contrast(ink.light, "#ffffff") >= 3
    assert contrast(ink.dark, "#14181c") >= 3


@pytest.mark.parametrize("state", ["supported", "refuted", "inconclusive", "not measured"])
def test_every_state_is_readable_on_light_and_dark_paper(state: str) -> None:
    assert contrast(arms.INK[state].light, "#ffffff") >= 4.5
    assert contrast(arms.INK[state].dark, "#14181c") >= 4.5


def test_a_light_ink_has_one_dark_twin() -> None:
    inks = [
        *arms.INK.values(),
        *(LEGEND.style(arm.name).ink for arm in PLANNED),
    ]

    assert all(arms.dark_inks()[ink.light] == ink.dark for ink in inks)


def test_controls_say_what_they_are_and_how_much_more_they_do() -> None:
    half = msgspec.structs.replace(PLANNED[2], name="x", extra=0.005)

    assert LEGEND.label("host-2pct") == "host with 2 % more work"
    assert arms.Legend([half]).label("x") == "host with 0.5 % more work"
    assert LEGEND.label("host-b") == "host again (A/A)"
    assert LEGEND.label("runtime-b") == "container again (A/A)"


def test_a_virtual_machine_names_its_accelerator() -> None:
    assert LEGEND.label("vm-kvm") == "VM (KVM)"
    assert LEGEND.label("vm-tcg-untuned") == "VM (emulated, TCG, untuned)"
    assert LEGEND.is_emulated("vm-tcg-untuned")
    assert not LEGEND.is_emulated("vm-kvm")
