"""Verdict rows of what could not be measured, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bench.claims import Claim, Claims
from bench.judging.rows import notes
from bench.model import ALL, ImageInfo, Kind, NotMeasured, State, Verdict

Triple = tuple[str, str, str]

UNCLAIMED = "unclaimed"
"""Claim of a missing metric that no sentence speaks of."""


def listed(
    claims: Claims,
    not_measured: Sequence[NotMeasured],
    controls: Mapping[str, str],
    kinds: Mapping[str, Kind],
) -> list[Verdict]:
    """Rows for what the measurement itself reported missing: one for each claim that lacks it.

    controls: arm → the claim of the control that it is part of.
    """
    rows = []
    for gap in not_measured:
        if gap.arm in controls:
            owners = [controls[gap.arm]]
        else:
            kind = kinds.get(gap.arm)
            owners = [claim.id for claim in claims.claim if _misses(claim, gap, kind)] or [UNCLAIMED]
        rows += [empty(owner, gap.metric or ALL, gap.arm, "", gap.reason) for owner in owners]
    return rows


def _misses(claim: Claim, gap: NotMeasured, kind: Kind | None) -> bool:
    if claim.kind in ("later", "digest"):
        return False
    if gap.metric:
        named = claim.role_of(gap.metric) or any(one.startswith(gap.metric + ".") for one in claim.primary)
        return bool(named) and (claim.speaks_of(gap.arm, kind) or gap.arm in claim.baselines)
    return claim.speaks_of(gap.arm, kind) or gap.arm in (*claim.baselines, claim.baseline_backend)


def absent(
    claim: Claim,
    arms: Sequence[str],
    done: set[Triple],
    reported: Sequence[Verdict],
    kinds: Mapping[str, Kind],
) -> list[Verdict]:
    """Rows for primary metrics of a claim without a sample, where the measurement gave no reason itself.

    done: (metric, arm, baseline) that have a comparison. Of several baselines only the first is due: the
    others stand in where it cannot run. One row `*` where an arm lacks all of a claim.
    """
    baseline = claim.baselines[0] if claim.kind in ("ratio", "same") else ""
    known = {(row.metric, row.arm) for row in reported if row.claim == claim.id}
    rows = []
    for arm in arms:
        if (
            not claim.speaks_of(arm, kinds.get(arm))
            or arm in claim.baselines
            or known & {(ALL, arm), (ALL, baseline)}
        ):
            continue
        required = claim.required(kinds.get(arm))
        due = [name for name in required if not known & {(name, arm), (name, baseline)}]
        lacking = [name for name in due if (name, arm, baseline) not in done]
        if len(lacking) > 1 and len(lacking) == len(required):
            rows.append(_absent_row(claim, ALL, arm, baseline, arms, ", ".join(lacking)))
        else:
            rows += [_absent_row(claim, name, arm, baseline, arms, name) for name in lacking]
    return rows


def _absent_row(
    claim: Claim, metric: str, arm: str, baseline: str, arms: Sequence[str], names: str
) -> Verdict:
    others = [name for name in claim.baselines if name in arms]
    if baseline and baseline not in arms and others:
        reason = f"{baseline} is not in this run; {others[0]} is, and is judged by itself"
    else:
        reason = f"no samples of {names} for {arm}" + (f" beside {baseline}" if baseline else "")
    return empty(claim.id, metric, arm, baseline, reason)


def merge(rows: Sequence[Verdict], gaps: Sequence[Verdict]) -> list[Verdict]:
    """Rows of one claim beside its gaps, never two for one thing.

    What was partly measured before it broke keeps its row and gets the gap's reason as a note; a row with
    nothing in it is replaced by the gap.
    """
    kept: list[Verdict] = []
    merged: set[tuple[str, str]] = set()
    for row in rows:
        named = [gap for gap in gaps if gap.arm == row.arm and gap.metric in (ALL, row.metric)]
        if named and row.n_pairs == 0:
            continue
        more = (f"not complete: {gap.reason}" for gap in named)
        merged.update((gap.metric, gap.arm) for gap in named)
        kept.append(msgspec.structs.replace(row, notes=(*row.notes, *more)))
    return [*kept, *(gap for gap in gaps if (gap.metric, gap.arm) not in merged)]


def later(claim: Claim) -> Verdict:
    """The row of a claim that no scenario measures yet."""
    return empty(claim.id, ALL, ALL, "", claim.reason)


def nobody(claim: Claim) -> Verdict:
    """The row of a claim none of whose systems was in the run."""
    systems = ", ".join((*claim.arms, *claim.arm_kinds))
    reason = f"none of the systems it speaks of was in this run ({systems})"
    return empty(claim.id, ALL, ALL, "", reason)


def digest(claim: Claim, image: ImageInfo | None) -> Verdict:
    """The row of the image's digest: an exact comparison, no statistics."""
    if image is None or not image.digest_after:
        return empty(claim.id, "image.digest", ALL, "", "the digest was not computed again after the run")
    same = image.digest == image.digest_after
    state: State = "supported" if same else "refuted"
    reason = (
        f"{image.digest} before and after the run"
        if same
        else f"{image.digest} before, after the run: {image.digest_after}"
    )
    return empty(claim.id, "image.digest", ALL, "", reason, state)


def empty(
    claim: str, metric: str, arm: str, baseline: str, reason: str, state: State = "not measured"
) -> Verdict:
    """A row without numbers."""
    return Verdict(
        claim=claim,
        metric=metric,
        arm=arm,
        baseline=baseline,
        estimate=None,
        low=None,
        high=None,
        margin=None,
        alpha=0.05,
        n_sessions=0,
        n_pairs=0,
        verdict=state,
        notes=notes(reason),
    )
