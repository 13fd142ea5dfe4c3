"""Verdicts of a run, made by hand."""

from __future__ import annotations

from typing import Any

import msgspec

from bench import model
from reports.load import Evidence
from tests.reports import synthetic


def verdict(claim: str, metric: str, state: model.State, **more: Any) -> model.Verdict:
    """A verdict of this state; other fields as in a good run unless given."""
    fields = {
        "arm": "runtime",
        "baseline": "host",
        "estimate": 0.995,
        "low": 0.99,
        "high": 1.0,
        "margin": 0.99,
    }
    fields |= {"alpha": 0.05, "n_sessions": 6, "n_pairs": 36} | more
    return model.Verdict(claim=claim, metric=metric, verdict=state, **fields)


def beside(*names: str) -> model.Plan:
    """The plan of the drawn run with more systems."""
    plan = synthetic.run().plan
    return msgspec.structs.replace(plan, arms=(*plan.arms, *map(synthetic.arm, names)))


def evidence_of(*rows: model.Verdict, evidence: Evidence, **run: Any) -> Evidence:
    """A run with these verdicts and a control that holds."""
    control = verdict("control.aa", "joint", "supported", arm="host-b")
    given = rows if any(row.arm == "host-b" for row in rows) else (control, *rows)
    return msgspec.structs.replace(evidence, verdicts=given, run=synthetic.run(**run))


def started(state: model.State, seconds: float = 0.0011) -> tuple[model.Verdict, ...]:
    """The claim about the start, and the row it rests on."""
    numbers = {"baseline": "", "estimate": seconds, "low": seconds, "high": seconds, "margin": 1.0}
    return (
        verdict("startup.median", "*", state, **numbers),
        verdict("startup.median", "startup.first_instruction.p50", state, **numbers),
    )


def sped(state: model.State, ratio: float = 0.83) -> tuple[model.Verdict, ...]:
    """The claim about the speed, and the row it rests on."""
    return (
        verdict("performance", "*", state, estimate=ratio),
        verdict("performance", "network.cpu_per_gib.nat", state, estimate=ratio),
    )
