from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from bench import model, store
from reports.bundle import plotly_bundle
from reports.downloads import MOST_EMBEDDED, downloads
from reports.load import ReportError
from reports.page import embedded_json, render
from tests.paths import REPOSITORY
from tests.reports import synthetic

STORED = REPOSITORY / "tests" / "bench" / "stored"
MOST_BYTES = 4_000_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


class Outline(HTMLParser):
    """Tags, headings and scripts of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def small(where: Path, few: pd.DataFrame, **run: Any) -> Path:
    return synthetic.write(where, samples=few, record=synthetic.run(**run))


@pytest.fixture(scope="module")
def one(few: pd.DataFrame) -> pd.DataFrame:
    """Samples of one metric, for pages of which the charts are not the point."""
    return few[few["metric"] == "cpu.integer"]


@pytest.mark.slow
def test_a_page_is_one_file_beside_its_data_and_small_enough(run_dir: Path, page: Path) -> None:
    assert page == run_dir / "report.html"
    assert page.stat().st_size <= MOST_BYTES


@pytest.mark.slow
def test_a_page_can_be_written_elsewhere(one: pd.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "public.html"

    assert render(small(tmp_path / "run", one), out) == out
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
def test_a_page_that_cannot_be_written_says_where(one: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"nowhere/report\.html"):
        render(small(tmp_path / "run", one), tmp_path / "nowhere" / "report.html")


@pytest.mark.slow
def test_nothing_is_asked_of_a_network(page: Path) -> None:
    outline = Outline(page)
    links = [attrs.get("href") or "" for attrs in outline.of("a") + outline.of("link")]

    assert all(link.startswith(("#", "data:", "..")) or "/" not in link for link in links)
    assert not [attrs for _, attrs in outline.tags if "src" in attrs]
    assert "default-src 'none'" in str(outline.of("meta"))


@pytest.mark.slow
def test_only_the_two_known_scripts_may_run(page: Path) -> None:
    outline = Outline(page)
    policy = next(attrs["content"] or "" for attrs in outline.of("meta") if "http-equiv" in attrs)
    ours = hashlib.sha256(outline.scripts[-1].encode()).digest()

    assert f"'sha256-{base64.b64encode(ours).decode()}'" in policy
    assert plotly_bundle().csp in policy
    assert "unsafe" not in policy.split("script-src")[1].split(";")[0]


def test_the_bundle_is_plotlys_own() -> None:
    bundle = plotly_bundle()

    assert gzip.decompress(base64.b64decode(bundle.packed)).decode() == get_plotlyjs()


@pytest.mark.slow
def test_headings_form_an_outline_without_gaps(page: Path) -> None:
    levels = [int(tag[1]) for tag, _ in Outline(page).tags if tag in ("h1", "h2", "h3")]

    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.slow
def test_every_chart_has_words_for_it_and_a_name(page: Path) -> None:
    charts = [attrs for attrs in Outline(page).of("div") if attrs.get("class") == "chart"]

    assert len(charts) > 20
    assert all(chart.get("aria-label") and chart.get("role") == "img" for chart in charts)


@pytest.mark.slow
def test_ids_are_unique(page: Path) -> None:
    ids = [attrs["id"] for _, attrs in Outline(page).tags if "id" in attrs]

    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_the_page_has_the_command_and_the_reasons(page: Path) -> None:
    text = page.read_text()

    assert "ninetynine run --profile quick --backends host,runtime" in text
    assert "docker: no such program on PATH" in text
    assert "makes no progress" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "interrupted"}, "Interrupted before its end"),
        ({"status": "failed"}, "failed before its end"),
        (
            {"image": None, "versions": {}, "backends": (), "not_measured": ()},
            "Everything that the plan asked for",
        ),
        ({"notes": ("the lid was closed",)}, "the lid was closed"),
    ],
)
def test_odd_runs_are_shown_sensibly(
    one: pd.DataFrame, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    assert said in render(small(tmp_path / "run", one, **changes)).read_text()


@pytest.mark.slow
def test_a_run_that_measured_nothing_is_a_page_without_charts(few: pd.DataFrame, tmp_path: Path) -> None:
    page = render(synthetic.write(tmp_path / "run", samples=few.iloc[:0], judged=[]))

    assert "Measured, but not judged" in page.read_text()
    assert not [attrs for attrs in Outline(page).of("div") if attrs.get("class") == "chart"]


@pytest.mark.slow
def test_a_run_cut_after_any_arms_first_samples_is_a_page(few: pd.DataFrame, tmp_path: Path) -> None:
    for number, arm in enumerate(few["arm"].unique()):
        page = render(synthetic.write(tmp_path / str(number), samples=few[few["arm"] == arm]))

        assert Outline(page).of("h1")


@pytest.mark.slow
def test_values_that_are_no_numbers_are_left_out_of_charts(few: pd.DataFrame, tmp_path: Path) -> None:
    spoiled = few.assign(value=few["value"].where(few["order"] % 7 != 0, float("nan")), valid=True)

    assert "NaN" not in Outline(render(synthetic.write(tmp_path / "run", samples=spoiled))).scripts


@pytest.mark.slow
def test_raw_data_inside_the_page_is_the_file(run_dir: Path, page: Path) -> None:
    links = {attrs["download"]: attrs["href"] for attrs in Outline(page).of("a") if "download" in attrs}
    parquet = next(href for name, href in links.items() if name and name.endswith(store.SAMPLES))

    assert parquet is not None
    assert base64.b64decode(parquet.split(",")[1]) == (run_dir / store.SAMPLES).read_bytes()


def test_raw_data_too_large_is_linked_beside_the_page(tmp_path: Path) -> None:
    (tmp_path / store.SAMPLES).write_bytes(bytes(MOST_EMBEDDED + 1))
    samples, *missing = downloads(tmp_path, tmp_path / "report.html")

    assert (samples.href, samples.embedded) == (store.SAMPLES, False)
    assert [file.href for file in missing] == ["", ""]


@pytest.mark.slow
def test_a_hostile_run_stays_text(few: pd.DataFrame, tmp_path: Path) -> None:
    spoiled = few.assign(
        arm=few["arm"].replace("crun", HOSTILE),
        reason=HOSTILE,
        valid=few["order"] % 5 != 0,
        unit=few["unit"].replace("bytes", HOSTILE),
    )
    clean = Outline(render(small(tmp_path / "clean", few)))
    page = render(small(tmp_path / "spoiled", spoiled, id=HOSTILE, command=(HOSTILE,), notes=(HOSTILE,)))
    outline = Outline(page)

    assert len(outline.of("img")) == 0
    assert {tag for tag, _ in outline.tags} == {tag for tag, _ in clean.tags}
    assert not [attrs for _, attrs in outline.tags if "onerror" in attrs]
    assert "&lt;script&gt;alert(1)" in page.read_text()


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_any_text_in_a_run_leaves_the_page_whole(one: pd.DataFrame, tmp_path: Path, text: str) -> None:
    said = f"{text}</script><b>"
    host = msgspec.structs.replace(synthetic.fingerprint(), cpu_model=said)
    gap = model.NotMeasured(arm=said, metric=said, reason=said)
    record = synthetic.run(host=host, id=said, not_measured=(gap,), notes=(said,), versions={said: said})
    where = synthetic.write(tmp_path / "run", samples=one, record=record, judged=[])
    outline = Outline(render(where))

    assert outline.tags[-1] == ("script", {})
    assert '"use strict"' in outline.scripts[-1]


@given(st.text(st.characters(codec="utf-8")))
def test_embedded_json_cannot_close_its_element_and_reads_back(text: str) -> None:
    safe = embedded_json({"key": text})

    assert "<" not in safe
    assert json.loads(safe) == {"key": text}


@pytest.mark.slow
def test_a_long_run_stays_within_the_size(tmp_path: Path) -> None:
    part = synthetic.draw_samples(sessions=2, blocks=8)
    parts = [
        part.assign(
            session=part["session"] + 2 * k,
            order=part["order"] + k * len(part),
            value=part["value"] * (1 + k / 50),
        )
        for k in range(24)
    ]
    long = pd.concat(parts, ignore_index=True)
    page = render(synthetic.write(tmp_path / "run", samples=long, judged=[]))

    assert len(long) > 80_000
    assert page.stat().st_size <= MOST_BYTES


@pytest.mark.slow
def test_daemons_have_charts_of_their_steps_and_of_what_they_moved(few: pd.DataFrame, tmp_path: Path) -> None:
    units = {
        "engine.run.cli": "s",
        "engine.start.api": "s",
        "image.pull.cold": "s",
        "image.pull.changed.moved": "ratio",
        "image.pull.warm.moved": "B",
        "image.disk_per_container.10": "B",
        "image.disk_per_container.100": "B",
    }
    seen = few[(few["metric"] == "cpu.integer") & few["arm"].isin(["runtime", "crun"])]
    twice = seen["value"].where(seen["arm"] != "crun", 2 * seen["value"])
    own = [seen.assign(metric=name, unit=unit, better="lower", value=twice) for name, unit in units.items()]
    page = Outline(render(small(tmp_path / "run", pd.concat([few, *own], ignore_index=True))))

    charts = {str(attrs["aria-labelledby"]).removesuffix("-title") for attrs in page.of("figure")}
    assert {"cost-engine.run.cli", "steps-api", "image-times", "image-moved", "image-kept"} <= charts
    assert "steps-cli" not in charts


@pytest.mark.slow
def test_a_chart_that_would_say_nothing_is_a_line_of_text(few: pd.DataFrame, tmp_path: Path) -> None:
    seen = few[(few["metric"] == "cpu.integer") & few["arm"].isin(["runtime", "crun"])]
    alone = seen[seen["arm"] == "runtime"].assign(
        metric="engine.run.cli", unit="s", better="lower", value=0.03
    )
    same = seen.assign(metric="network.throughput.nat", unit="bit/s", value=9.56e8)
    page = render(small(tmp_path / "run", pd.concat([few, alone, same], ignore_index=True)))
    text = page.read_text().replace("\u00a0", " ")

    assert "A container run and removed, through the command line, container (ours): 30.0 ms." in text
    assert "Throughput over a 1 Gbit/s line, the same for all systems: NAT 956 Mbit/s." in text
    charts = {attrs["aria-labelledby"] for attrs in Outline(page).of("figure")}
    assert not {"cost-engine.run.cli-title", "network-throughput-title"} & charts


@pytest.mark.slow
def test_no_table_has_an_empty_head(page: Path) -> None:
    heads = page.read_text().split('<th scope="col">')[1:]

    assert all(head.partition("</th>")[0].strip() for head in heads)


@pytest.mark.slow
def test_documents_are_named_and_not_linked(page: Path) -> None:
    links = [attrs["href"] or "" for attrs in Outline(page).of("a") if "href" in attrs]

    assert not [link for link in links if link.endswith(".md")]
    assert "docs/method.md" in page.read_text()


@pytest.mark.slow
def test_without_scripts_every_chart_is_an_open_table(page: Path) -> None:
    outline = Outline(page)
    twins = [attrs for attrs in outline.of("details") if attrs.get("class") == "twin"]
    charts = [attrs for attrs in outline.of("div") if attrs.get("class") == "chart"]

    assert len(twins) == len(charts)  # the chart of all samples has the table of medians
    assert all("open" in twin for twin in twins)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("schema-1.0", "Not asked in this run: "),
        ("schema-1.1", "Not asked in this run: "),
        ("schema-1.1-interrupted", "Interrupted before its end"),
    ],
)
def test_a_run_of_an_older_version_is_a_page(tmp_path: Path, name: str, said: str) -> None:
    where = shutil.copytree(STORED / name, tmp_path / "run")
    text = render(where).read_text()

    assert said in text
    assert "could not be settled" not in text
