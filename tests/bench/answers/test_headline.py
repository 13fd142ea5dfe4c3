from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench import claims, model
from bench.answers.headline import Headline, headline
from tests.bench.answers.test_sentences import only
from tests.reports import synthetic
from tests.reports.made_verdicts import beside, sped, started, verdict

CLAIMS = claims.load()
PASSED = verdict("control.aa", "joint", "supported", arm="host-b")


def said(*rows: model.Verdict, **run: Any) -> Headline:
    found = headline(synthetic.run(**run), CLAIMS, (PASSED, *rows))
    return msgspec.structs.replace(found, text=found.text.replace("\u00a0", " "))


@pytest.mark.parametrize(
    ("start", "speed", "text"),
    [
        ("supported", "supported", "A container started in 1.10 milliseconds (median, start to the"),
        ("supported", "refuted", ", but it did not give 99 % of the host's CPU, memory and network"),
        ("supported", "refuted", "83.0 % at worst (CPU time per GiB sent, NAT: 82.0 to 84.0 %)"),
        ("supported", "inconclusive", "is open in 11 of 11 metrics: 83.0 % at worst"),
        ("inconclusive", "inconclusive", "Whether a container starts within a second is open and whether it"),
        ("refuted", "supported", "did not start within a second: half of its starts took more than 1.10"),
    ],
)  # fmt: skip
def test_it_says_what_was_found(start: model.State, speed: model.State, text: str) -> None:
    rows = [msgspec.structs.replace(row, low=0.82, high=0.84) for row in sped(speed)]

    assert text in said(*started(start), *rows).text


def test_the_start_is_the_one_the_sentence_is_about() -> None:
    byte = verdict("startup.median", "startup.first_byte.p50", "supported", baseline="", estimate=0.0102)
    text = said(*started("supported", 0.000855), byte, *sped("supported")).text

    assert "started in 10.2 milliseconds (median, start to a server's first byte; 855 microseconds to" in text


def test_what_was_not_asked_is_not_in_it() -> None:
    plan = only("cpu.integer", "memory.bandwidth")
    rows = (
        verdict("performance", "*", "inconclusive"),
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "memory.bandwidth", "supported", estimate=0.996),
        verdict("startup.median", "*", "not measured", estimate=None),
    )
    found = said(*rows, plan=plan, not_measured=())

    assert found.state == "supported"
    assert found.text.startswith("A container gave 99 % of the host's CPU and memory performance: 99.5 % at")


def test_a_run_that_asked_neither_question_says_so() -> None:
    found = said(verdict("disk.io", "disk.seqread.layer", "supported"), plan=only("disk.seqread.layer"))

    assert "asked neither how fast a container starts nor" in found.text


def test_what_was_asked_and_could_not_be_measured_is_said() -> None:
    rows = (verdict("startup.median", "*", "not measured", estimate=None), *sped("supported"))

    assert "Whether a container starts within a second could not be measured" in said(*rows).text


def test_what_is_said_of_the_host_once_more_is_not_said_of_a_container() -> None:
    rows = [msgspec.structs.replace(row, arm="again") for row in (*started("supported"), *sped("supported"))]
    found = said(*rows)

    assert found.text.startswith("The host, measured once more as if it were a system, started in")
    assert "container" not in found.text


@pytest.mark.parametrize(
    ("daemons", "state"), [("supported", "supported"), ("inconclusive", "supported"), ("refuted", "refuted")]
)
def test_a_start_through_the_daemon_stands_beside(daemons: model.State, state: model.State) -> None:
    ours = [
        msgspec.structs.replace(row, arm="nnd") for row in (*started("supported", 0.0061), *sped(daemons))
    ]
    found = said(*started("supported"), *sped("supported"), *ours, plan=beside("nnd"))

    assert "6.10 milliseconds through nnd)" in found.text
    assert found.state == state


@pytest.mark.parametrize(
    ("control", "text"),
    [
        ("refuted", "RUN INVALID: the negative control failed"),
        ("inconclusive", "No verdict: the control, two copies of the same arm, could not be judged"),
    ],
)
def test_a_control_takes_its_place(control: model.State, text: str) -> None:
    row = verdict("control.aa", "joint", control, arm="host-b")
    found = headline(synthetic.run(), CLAIMS, (row, *sped("supported")))

    assert found.text.startswith(text)
    assert not found.valid


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"status": "failed"}, "failed before its end"), ({"profile": "smoke"}, "A smoke run")],
)
def test_a_run_without_verdicts_says_why(changes: dict[str, Any], text: str) -> None:
    run = synthetic.run()
    plan = msgspec.structs.replace(run.plan, profile=changes.pop("profile", "quick"))

    assert text in said(*sped("supported"), plan=plan, **changes).text
