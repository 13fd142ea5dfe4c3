"""Samples and claims to verdicts: pure, deterministic, no I/O.

Thin on purpose: the statistics are in bench.stats, the parts of the judgement in bench.judging.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.claims import Claims
from bench.judging.pairs import collect, ratio_series
from bench.judging.rows import Gate, ratio_row
from bench.model import NotMeasured, Plan, Verdict
from bench.stats.cluster import t_interval


def judge(
    samples: pd.DataFrame,
    claims: Claims,
    plan: Plan | None = None,
    not_measured: Sequence[NotMeasured] = (),
) -> list[Verdict]:
    """All verdict rows of a run. `samples` has the columns of bench.model.Sample."""
    visits = collect(samples)
    gate = Gate(min_sessions=claims.min_sessions, smoke=plan is not None and plan.profile == "smoke")
    rows: list[Verdict] = []
    for claim in claims.claim:
        if claim.kind != "ratio":
            continue
        for baseline in claim.baselines:
            series = ratio_series(visits, baseline)
            for (metric, backend), found in sorted(series.items()):
                if claim.role_of(metric) and claim.speaks_of(backend) and backend != claims.control.arm:
                    rows.append(
                        ratio_row(
                            claim,
                            (metric, backend),
                            baseline,
                            found,
                            t_interval(found.locations, claim.alpha),
                            gate,
                        )
                    )
    return rows
