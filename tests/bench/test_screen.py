"""A run on one screen, and the rest of it: shapes, widths, and what stands where."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from rich.text import Text

from bench import claims, model
from bench.cli import console, names
from bench.cli.screen import details
from bench.cli.screen.found import Found
from bench.cli.screen.layout import pasteable, show, wrapped
from bench.cli.screen.summary import LINES, one_screen
from tests.reports import synthetic
from tests.reports.made_verdicts import beside, sped, started, verdict

FAMILIES = ("startup", "cpu", "memory", "network", "disk", "engine", "image")
CONTROL = verdict("control.aa", "joint", "supported", arm="host-b", alpha=0.01)


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "program", lambda: ".venv/bin/ninetynine")


@pytest.fixture(scope="module")
def whole() -> Found:
    """A run of drawn numbers with every kind of arm and verdict."""
    samples = synthetic.draw_samples()
    run = synthetic.run(sessions_run=6)
    return found(*synthetic.verdicts(samples, run), run=run, samples=samples)


def found(*rows: model.Verdict, run: model.Run | None = None, samples: Any = None, **changes: Any) -> Found:
    few = synthetic.draw_samples(sessions=1, blocks=1) if samples is None else samples
    record = run or synthetic.run(**changes)
    return Found(
        directory=Path("results/20261201-1"),
        run=record,
        status=record.status,
        claims=claims.load(),
        verdicts=rows,
        samples=few,
        families=FAMILIES,
        page=Path("results/20261201-1/report.html"),
    )


def text(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


def plan(*metrics: str) -> model.Plan:
    """A plan that was asked for these metrics."""
    asked = synthetic.run().plan
    return msgspec.structs.replace(asked, metrics=tuple(one for one in asked.metrics if one.name in metrics))


def test_a_whole_run_fits_on_one_screen(whole: Found) -> None:
    lines = one_screen(whole, 80)
    assert len(lines) <= LINES
    assert max(len(line.plain.rstrip()) for line in lines) <= 80


def test_five_systems_fit_on_one_screen(whole: Found) -> None:
    arms = tuple(one for one in beside("nnd", "docker").arms if one.name != "again")
    more = msgspec.structs.replace(whole.run, plan=msgspec.structs.replace(whole.run.plan, arms=arms))
    lines = one_screen(msgspec.structs.replace(whole, run=more), 80)
    assert len(lines) <= LINES
    assert max(len(line.plain.rstrip()) for line in lines) <= 80


@pytest.mark.parametrize("width", [40, 60, 72, 120])
def test_no_line_is_wider_than_the_terminal(whole: Found, width: int) -> None:
    for lines in (one_screen(whole, width), details.everything(whole, width)):
        wide = [line.plain for line in lines if len(line.plain.rstrip()) > width]
        assert [
            line for line in wide if ".venv" not in line and " --" not in line and "page " not in line
        ] == []


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_word_is_broken(whole: Found, width: int) -> None:
    said = text(one_screen(whole, width))
    for word in ("instruction", "supported", "metrics", "emulated"):
        assert word in said
    assert "in 6 sessions" in text(details.everything(whole, 60)).replace("\n    ", " ")


def test_the_answer_comes_first(whole: Found) -> None:
    lines = [line.plain for line in one_screen(whole, 80)]
    assert lines[0].startswith("quick run 20261124-073000-synthetic, 5.7 min, 6 sessions")
    assert lines[3].startswith("A container started in ")
    starts = next(line for line in lines if line.startswith("Starts in 1 s?"))
    speed = next(line for line in lines if line.startswith("99 % of the host?"))
    assert "YES  10." in starts
    assert "NO   " in speed


def test_each_question_has_its_worst_number_with_its_own_interval() -> None:
    joint = verdict("performance", "*", "refuted", estimate=0.893, low=0.853, high=0.971)
    nat = verdict("performance", "network.cpu_per_gib.nat", "refuted", estimate=0.893, low=0.853, high=0.935)
    byte = verdict(
        "startup.median", "startup.first_byte.p50", "supported", baseline="", estimate=0.0102, low=0.0068,
        high=0.0143,
    )  # fmt: skip
    said = " ".join(text(one_screen(found(CONTROL, *started("supported"), byte, joint, nat), 80)).split())
    assert "YES 10.2 ms (6.80 to 14.3 ms): start to a server's first byte" in said
    assert "NO 89.3 % (85.3 to 93.5 %): CPU time per GiB sent, NAT" in said
    assert "97.1" not in said


def test_a_sentence_has_a_sign_and_a_number_for_each_system(whole: Found) -> None:
    lines = [line.plain for line in one_screen(whole, 100)]
    head = next(line for line in lines if "container" in line and "VM (TCG)*" in line)
    row = next(line for line in lines if line.startswith("CPU, memory and network"))
    assert row[head.index("container") :].startswith("- 8")
    assert row[head.index("VM (TCG)*") :].startswith("- 11.0 %")
    assert ">= 99 %" in row
    assert "* emulated, not VMs in general" in text(one_screen(whole, 80))


def test_what_decided_stands_below_worst_first(whole: Found) -> None:
    lines = [line.plain for line in one_screen(whole, 120)]
    first = next(line for line in lines if line.startswith("- container"))
    assert "CPU time per GiB sent, NAT" in first
    assert "6 sess." in first


def test_what_was_not_asked_for_is_no_lack_of_the_answer() -> None:
    rows = (
        CONTROL,
        verdict("performance", "*", "inconclusive"),
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "memory.bandwidth", "supported"),
    )
    asked = plan("cpu.integer", "memory.bandwidth")
    said = " ".join(text(one_screen(found(*rows, plan=asked, not_measured=()), 80)).split())
    assert "YES 99.5 % (99.0 to 100.0 %)" in said
    assert "2 of 2 metrics supported; cpu, memory and network not asked" in said
    assert "could not" not in said
    assert "Not asked: startup, network, disk, engine, image (--families); nnd, docker (--backends)" in said


def test_names_of_sentences_are_whole_beside_many_systems(whole: Found) -> None:
    arms = tuple(one for one in beside("nnd", "docker").arms if one.name != "again")
    more = msgspec.structs.replace(whole.run, plan=msgspec.structs.replace(whole.run.plan, arms=arms))
    for width in (80, 60, 40):
        said = text(one_screen(msgspec.structs.replace(whole, run=more), width))
        assert "…" not in said
        assert "disk of another instance " in said


def test_a_further_block_of_the_table_has_only_the_sentences_that_speak_of_its_systems(whole: Found) -> None:
    lines = [line.plain.rstrip() for line in one_screen(whole, 40)]
    heads = [place for place, line in enumerate(lines) if line.startswith(" " * 20)]
    assert len(heads) > 1
    assert all(
        line[25:].strip() for line in lines[heads[0] : lines.index("", heads[-1])] if line[0] not in "+*n"
    )
    assert len([line for line in lines if line.startswith("image kept by a run")]) == 1


def test_what_is_missing_comes_with_the_way_to_have_it(whole: Found) -> None:
    said = text(one_screen(whole, 200))
    assert "docker (nox -s setup -- --peers)" in said
    assert "1 metric of VM (TCG) (more: --profile full)" in said
    assert "no disturbance by neighbours (a later family)" in said


def test_families_that_are_missing_as_a_whole_are_named() -> None:
    plan = msgspec.structs.replace(
        beside("nnd", "docker"), left_out={"nnd": ("cpu",), "docker": ("cpu", "image"), "crun": ("engine",)}
    )
    lacks = {
        "nnd": ("cpu.integer", "cpu.float", "disk.copy_up"),
        "docker": ("cpu.integer", "image.commit"),
        "crun": ("network.latency.host", "startup.first_byte"),
    }
    gaps = tuple(
        model.NotMeasured(arm=arm, metric=metric, reason="for people")
        for arm, metrics in lacks.items()
        for metric in metrics
    )
    samples = synthetic.draw_samples(sessions=1, blocks=1)
    samples = samples[(samples["arm"] != "crun") | samples["metric"].str.startswith("startup")]
    run = found(CONTROL, *sped("supported"), plan=plan, not_measured=gaps, samples=samples)
    said = " ".join(text(one_screen(run, 80)).split())
    assert (
        "Not measured: cpu of nnd and docker, image of docker (--backends NAME, or --profile full); "
        "disk of nnd, network and 1 metric of crun (why: show --all); "
    ) in said


def test_the_controls_are_a_line_each(whole: Found) -> None:
    lines = [line.plain for line in one_screen(whole, 80)]
    aa = [line for line in lines if line.startswith("A/A ")]
    assert len(aa) == 1
    assert "passed; could see a difference of 18 % in 6 of 11 metrics (best 3.2 %)" in aa[0]
    assert [line for line in lines if line.startswith("2 %   of extra work found in ")]


@pytest.mark.parametrize(
    ("widths", "said"),
    [
        ((0.0, 0.001, 0.002), "passed; could see a difference of 1.4 % in 2 of 3 metrics (best 0.85 %)\n"),
        ((0.001, 0.3, 0.3), "passed; could see a difference of 100 % in 1 of 3 metrics (best 1.4 %)\n"),
        ((0.3, 0.3, 0.3), "passed; too noisy to see even a difference of 100 %\n"),
        ((0.001,), "passed; could see a difference of 1.1 %\n"),
    ],
)
def test_the_control_says_what_it_could_see(widths: tuple[float, ...], said: str) -> None:
    rows = [
        verdict("control.aa", name, "supported", arm="host-b", low=1 - width, high=1 + width)
        for name, width in zip(("cpu.integer", "cpu.float", "cpu.crypto"), widths, strict=False)
    ]
    assert said in text(one_screen(found(CONTROL, *rows, *sped("supported")), 80))


def given_up(claim: str, metric: str, minutes: float | None, arm: str = "runtime") -> model.Verdict:
    return verdict(claim, metric, "inconclusive", arm=arm, out_of_reach=True, minutes=minutes)


def test_what_more_time_would_settle_is_said_for_each_sentence() -> None:
    rows = (
        given_up("performance", "memory.latency", 20.6),
        given_up("performance", "cpu.integer", 3.0),
        given_up("performance", "cpu.integer", 90.0, "crun"),
        given_up("disk.io", "disk.randread.layer", 8.0),
    )
    of_run = found(CONTROL, *sped("inconclusive"), *rows)
    said = text(one_screen(of_run, 80))
    assert (
        "More time would settle (add --until-decided):\n"
        "  CPU, memory and network: 2 metrics of container ~24 min\n"
        "  disk speed, the suite's own question: random reads, writable layer of\n    container ~8 min\n"
    ) in said, "peers and the suite's own question do not come first"
    shown = text(details.about(of_run, "memory.latency", 80)).replace("\u00a0", " ")
    assert "    out of reach here: about 21 min of measuring it alone" in shown
    assert "More time" not in text(one_screen(found(CONTROL, *sped("inconclusive")), 120))


def test_all_of_it_fits_on_one_screen_where_little_was_decided(whole: Found) -> None:
    arms = tuple(one for one in beside("nnd", "docker").arms if one.name != "again")
    rows = [
        given_up(claim, metric, 30.0, arm)
        for arm in ("runtime", "nnd", "docker", "crun")
        for claim, metric in (
            ("performance", "cpu.integer"),
            ("performance", "memory.latency"),
            ("start.vs_vm", "startup.first_instruction"),
            ("disk.io", "disk.randread.image"),
        )
    ]
    gaps = tuple(
        model.NotMeasured(arm=arm, metric=metric, reason="for people")
        for arm in ("nnd", "docker", "crun", "vm-tcg")
        for metric in ("cpu.integer", "memory.latency", "network.latency.host", f"image.{arm}")
    )
    left_out = {"nnd": ("cpu",), "docker": ("cpu", "memory", "image"), "crun": ("network", "image")}
    plan = msgspec.structs.replace(whole.run.plan, arms=arms, left_out=left_out)
    run = msgspec.structs.replace(whole.run, plan=plan, not_measured=gaps)
    lines = one_screen(msgspec.structs.replace(whole, run=run, verdicts=(*whole.verdicts, *rows)), 80)
    assert len(lines) <= LINES
    assert max(len(line.plain.rstrip()) for line in lines) <= 80
    assert "More time would settle" in text(lines)


def test_what_is_far_needs_a_longer_run_and_what_is_not_in_sight_none() -> None:
    far = found(CONTROL, given_up("performance", "cpu.integer", 190.0), *sped("inconclusive"))
    said = text(one_screen(far, 80))
    assert "More time would settle (add --until-decided --at-most 4h):\n" in said
    assert "integer arithmetic of container ~3 h\n" in said
    partly = (given_up("performance", "cpu.integer", 9.0), given_up("performance", "cpu.float", None))
    assert "  CPU, memory and network: 1 metric of container ~9 min, 1 of container not in sight\n" in text(
        one_screen(found(CONTROL, *partly, *sped("inconclusive")), 100)
    )
    noisy = found(CONTROL, given_up("performance", "cpu.float", None), *sped("inconclusive"))
    assert (
        "Too noisy to settle here:\n  CPU, memory and network: floating point of container not in sight\n"
    ) in text(one_screen(noisy, 80))
    assert "    out of reach here\n" in text(details.everything(noisy, 80))


def test_metrics_of_one_scenario_are_settled_by_the_same_minutes() -> None:
    rows = [
        given_up("performance", name, 4.0) for name in ("network.throughput.nat", "network.cpu_per_gib.nat")
    ]
    samples = synthetic.draw_samples(sessions=1, blocks=1)
    samples.loc[samples["metric"].isin([row.metric for row in rows]), "scenario"] = "network.nat"
    said = text(one_screen(found(CONTROL, *rows, samples=samples), 80))
    assert "2 metrics of container ~4 min" in said


def test_a_control_that_failed_stands_in_place_of_all_answers() -> None:
    failed = verdict("control.aa", "joint", "refuted", arm="host-b", estimate=1.02, low=1.01, high=1.03)
    said = text(one_screen(found(failed, *started("supported"), *sped("supported")), 80))
    assert said.splitlines()[3].startswith("RUN INVALID: the negative control failed")
    assert "Starts in 1 s?" not in said
    assert "A/A   failed" in said


def test_it_says_how_quiet_the_host_was(whole: Found) -> None:
    quiet = next(line.plain for line in one_screen(whole, 80) if line.plain.startswith("Host "))
    assert "CPU wait 1.2 % (worst tenth 7 %), steal 0.4 %, 116 of 12,104 repeated" in quiet


def test_the_commands_that_go_on_make_the_same_plan_again(whole: Found) -> None:
    said = text(one_screen(whole, 80))
    assert "page    results/20261201-1/report.html" in said
    assert "more    .venv/bin/ninetynine show results/20261201-1 --all" in said
    assert "repeat  .venv/bin/ninetynine run --like results/20261201-1" in said


def test_a_run_that_was_cut_names_the_command_that_finishes_it() -> None:
    cut = found(CONTROL, run=synthetic.run(status="interrupted"))
    said = text(one_screen(cut, 80))
    assert "go on   .venv/bin/ninetynine run --resume results/20261201-1" in said
    assert "repeat " not in said


def test_colour_is_for_terminals(whole: Found) -> None:
    shown = {}
    for name, environment in (("colour", {}), ("none", {"NO_COLOR": "1"})):
        where = Console(
            file=io.StringIO(),
            force_terminal=True,
            width=80,
            _environ={"TERM": "xterm-256color", **environment},
        )
        show(where, one_screen(whole, 80))
        shown[name] = where.file.getvalue()
    pipe = Console(file=io.StringIO(), width=80)
    show(pipe, one_screen(whole, 80))
    assert "\x1b[38;5;28m" in shown["colour"]
    assert "\x1b[3" not in shown["none"]
    assert "\x1b" not in pipe.file.getvalue()


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [console.GOOD, console.OPEN, console.BAD, console.FAINT])
def test_a_colour_is_read_on_white_and_on_black(colour: str) -> None:
    light = brightness(colour) + 0.05
    assert min(1.05 / light, light / 0.05) > 4.3, "contrast of text"


def test_the_time_of_a_phase_is_not_in_yellow() -> None:
    assert console.err().get_style("progress.elapsed").color is None


def test_no_line_has_a_colour_that_a_light_or_a_dark_terminal_swallows(whole: Found) -> None:
    lines = [*one_screen(whole, 80), *one_screen(whole, 60), *details.everything(whole, 80)]
    styles = {word for line in lines for span in line.spans for word in str(span.style).split()}
    assert styles <= {"bold", console.GOOD, console.OPEN, console.BAD, console.FAINT}
    assert {console.GOOD, console.BAD, console.FAINT} < styles


def test_a_command_that_is_too_long_goes_on_behind_a_backslash() -> None:
    lines = pasteable("repeat  ", "ninetynine run --out 'a b c' --families cpu,memory --seed 7", 34)
    assert [line.plain for line in lines] == [
        "repeat  ninetynine run \\",
        "        --out 'a b c' \\",
        "        --families cpu,memory \\",
        "        --seed 7",
    ]


def test_no_line_ends_between_a_number_and_its_unit() -> None:
    lines = [line.plain for line in wrapped("it took 10.2\u00a0milliseconds", 20)]
    assert lines == ["it took", "10.2 milliseconds"]


def test_everything_has_each_verdict_with_its_reason_and_what_is_missing(whole: Found) -> None:
    said = text(details.everything(whole, 100))
    metrics = {
        row.metric for row in whole.verdicts if row.verdict != "not measured" and row.metric not in "*"
    }
    assert all(metric in said for metric in metrics - {"joint"})
    assert "docker: no such program on PATH" in said
    assert "The governor could not be read" in said


def test_a_claim_is_shown_with_what_would_refute_it(whole: Found) -> None:
    said = text(details.about(whole, "performance", 80))
    assert "Refuted when the upper bound of any primary ratio lies below 0.99" in said.replace("\n  ", " ")
    assert "network.latency.nat (explains)" in said
    assert "startup.first_byte" not in said


def test_a_metric_is_shown_with_its_definition_its_verdicts_and_its_medians(whole: Found) -> None:
    said = text(details.about(whole, "network.cpu_per_gib.nat", 80))
    assert "network.cpu_per_gib.nat: s/GiB, lower is better, primary" in said
    assert "Drawn numbers for network.cpu_per_gib.nat." in said
    assert "control.aa: " in said
    assert "host: median 0.6" in said
    assert "network.cpu_per_gib.bridge" not in said


def test_the_joint_row_lends_its_bounds_to_nobody(whole: Found) -> None:
    joint = next(
        line.plain for line in details.about(whole, "performance", 100) if "all that decide" in line.plain
    )
    assert "%" not in joint


def test_names_are_taken_with_one_comma_between_them() -> None:
    assert names.split("backend", "runtime, nnd vm") == ["runtime", "nnd", "vm"]
    assert names.split("backend", None) == []
    assert names.cpus("0-1", {0, 1, 2}) == names.cpus("1,0", {0, 1, 2}) == (0, 1)
