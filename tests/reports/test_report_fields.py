"""A page is made of fields: no text is read, and no name decides what an arm is."""

from __future__ import annotations

import itertools
import string
from pathlib import Path

import msgspec
import pytest

from bench import model
from reports.load import Evidence
from reports.page import build

ODD = {
    "host": "aard-vark",
    "host-b": "vm-like",
    "host-2pct": "tcg-like",
    "again": "runtime-like",
    "runtime": "zeb-ra",
    "runtime-b": "ya-k",
    "vm-tcg": "oka-pi",
    "crun": "gn-u",
}
"""Names that say nothing, or something wrong. With a hyphen, which no Base64 in the page has."""


class Prose:
    """Each text → a word of its own, made up. Words of two Proses differ in `stem` alone."""

    def __init__(self, stem: str) -> None:
        self._words: dict[str, str] = {}
        self._fresh = (stem + a + b + c for a, b, c in itertools.product(string.ascii_lowercase, repeat=3))

    def __call__(self, text: str) -> str:
        if text and text not in self._words:
            self._words[text] = next(self._fresh)
        return self._words.get(text, "")


def told_by(evidence: Evidence, say: Prose, names: dict[str, str]) -> Evidence:
    """The same results in other words, under other names."""
    plan, run = evidence.run.plan, evidence.run

    def named(name: str) -> str:
        return names.get(name, name)

    arms = [
        msgspec.structs.replace(arm, name=named(arm.name), twin_of=named(arm.twin_of)) for arm in plan.arms
    ]
    record = msgspec.structs.replace(
        run,
        plan=msgspec.structs.replace(plan, arms=tuple(arms)),
        backends=tuple(msgspec.structs.replace(one, name=named(one.name)) for one in run.backends),
        closed=tuple(msgspec.structs.replace(one, arm=named(one.arm)) for one in run.closed),
        not_measured=tuple(
            model.NotMeasured(arm=named(one.arm), metric=one.metric, reason=say(one.reason))
            for one in run.not_measured
        ),
        notes=tuple(map(say, run.notes)),
    )
    rows = (
        msgspec.structs.replace(
            row, arm=named(row.arm), baseline=named(row.baseline), notes=tuple(map(say, row.notes))
        )
        for row in evidence.verdicts
    )
    samples = evidence.samples.assign(
        arm=evidence.samples["arm"].map(named), reason=evidence.samples["reason"].map(say)
    )
    return msgspec.structs.replace(evidence, run=record, samples=samples, verdicts=tuple(rows))


@pytest.mark.slow
@pytest.mark.parametrize(("end", "drawn"), [("decided", ""), ("budget", "cpu.")])
def test_other_names_and_other_words_make_the_same_page(
    evidence: Evidence, tmp_path: Path, end: model.EndedBecause, drawn: str
) -> None:
    """All metrics are drawn once: no chart knows why a run ended."""
    run = msgspec.structs.replace(evidence.run, ended_because=end)
    samples = evidence.samples[evidence.samples["metric"].str.startswith(drawn)]
    evidence = msgspec.structs.replace(evidence, run=run, samples=samples)
    usual = build(told_by(evidence, Prose("vork"), {}), tmp_path / "report.html")
    odd = build(told_by(evidence, Prose("blim"), ODD), tmp_path / "report.html")

    back = odd.replace("blim", "vork").replace("Blim", "Vork")
    for name, other in sorted(ODD.items(), key=lambda pair: -len(pair[1])):
        back = back.replace(other, name)
    assert "VM (emulated, TCG)" in back
    assert "container (ours)" in back
    assert _lines(back) == _lines(usual)


def _lines(page: str) -> list[str]:
    return [line for line in page.replace(",", ",\n").splitlines() if len(line) < 10_000]
