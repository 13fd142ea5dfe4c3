"""After the measurement: list what is missing, judge, write the report, decide the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import claims
from bench.cli.errors import CliError
from bench.journal import Contents
from bench.judge import CONTROLS, judge
from bench.model import JOINT, NotMeasured, Plan, Verdict
from bench.store import Loaded

_SMOKE = "the smoke profile never gives a verdict"


def conclude(plan: Plan, contents: Contents, status: str) -> list[NotMeasured]:
    """Return the planned (arm, metric) pairs without a valid sample, with the reason."""
    found = list(contents.missing)
    whole = {item.arm for item in found if not item.metric}
    known = {metric.name for metric in plan.metrics}
    valid = {(sample.arm, sample.metric) for sample in contents.samples if sample.valid}
    reasons: dict[tuple[str, str], str] = {}
    for sample in contents.samples:
        reasons.setdefault((sample.arm, sample.metric), sample.reason)
    for pair, reason in reasons.items():
        if pair not in valid and pair[0] not in whole and pair[1] in known:
            found.append(NotMeasured(arm=pair[0], metric=pair[1], reason=reason))
    return found


def judged(loaded: Loaded) -> list[Verdict]:
    """Judge a run."""
    run = loaded.run
    verdicts = judge(
        loaded.samples,
        claims.load(),
        run.plan,
        run.not_measured,
        run.image,
        closed=run.closed,
        sessions_run=run.sessions_run,
        out_of_reach=run.out_of_reach,
    )
    if run.plan.profile == "smoke":
        verdicts = [_withheld(one) for one in verdicts]
    return verdicts


def _withheld(one: Verdict) -> Verdict:
    """Withhold a verdict: the smoke profile gives none, not even on exact comparisons (the image's
    digest)."""
    if one.verdict in ("inconclusive", "not measured"):
        return one
    return msgspec.structs.replace(one, verdict="inconclusive", notes=(_SMOKE, *one.notes))


def reported(directory: Path, out: Path | None = None) -> Path:
    """Write `report.html`: the only place where bench imports reports."""
    from reports.load import ReportError
    from reports.page import render

    try:
        return render(directory, out)
    except ReportError as error:
        raise CliError(str(error)) from error


def control_failed(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the joint verdict of the control that failed, if any; the run is then invalid."""
    found = (one for one in verdicts if one.claim in CONTROLS and one.metric == JOINT)
    return next((one for one in found if one.verdict == "refuted"), None)
