"""What could not be measured gets a row too, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bench.claims import Claim, Claims
from bench.judging.rows import ALL, join
from bench.model import ImageInfo, NotMeasured, State, Verdict

Triple = tuple[str, str, str]

UNCLAIMED = "unclaimed"
"""Claim of a missing metric that no sentence speaks of."""


def listed(claims: Claims, not_measured: Sequence[NotMeasured], controls: Mapping[str, str]) -> list[Verdict]:
    """Rows for all the measurement itself could not do: one for each claim that misses it.

    controls: arm → the claim of the control that it is part of.
    """
    rows = []
    for gap in not_measured:
        if gap.backend in controls:
            owners = [controls[gap.backend]]
        else:
            owners = [claim.id for claim in claims.claim if _misses(claim, gap)] or [UNCLAIMED]
        rows += [empty(owner, gap.metric or ALL, gap.backend, "", gap.reason) for owner in owners]
    return rows


def _misses(claim: Claim, gap: NotMeasured) -> bool:
    if claim.kind in ("later", "digest"):
        return False
    if gap.metric:
        named = claim.role_of(gap.metric) or any(one.startswith(gap.metric + ".") for one in claim.primary)
        return bool(named) and (claim.speaks_of(gap.backend) or gap.backend in claim.baselines)
    served = any(name == gap.backend or name.startswith(gap.backend + "-") for name in claim.baselines)
    return claim.speaks_of(gap.backend) or served


def absent(
    claim: Claim, backends: Sequence[str], done: set[Triple], told_rows: Sequence[Verdict]
) -> list[Verdict]:
    """Rows for primary metrics of a claim without a sample, where the measurement gave no reason itself.

    done: (metric, backend, baseline) that have a comparison. Of several baselines only the first is due: the
    others stand in where it cannot run. One row `*` where a backend lacks all of a claim.
    """
    baseline = claim.baselines[0] if claim.kind in ("ratio", "same") else ""
    told = {(row.metric, row.backend) for row in told_rows if row.claim == claim.id}
    rows = []
    for backend in backends:
        if (
            not claim.speaks_of(backend)
            or backend in claim.baselines
            or told & {(ALL, backend), (ALL, baseline)}
        ):
            continue
        due = [name for name in claim.required(backend) if not told & {(name, backend), (name, baseline)}]
        lacking = [name for name in due if (name, backend, baseline) not in done]
        if len(lacking) > 1 and len(lacking) == len(claim.required(backend)):
            rows.append(_absent_row(claim, ALL, backend, baseline, backends, ", ".join(lacking)))
        else:
            rows += [_absent_row(claim, name, backend, baseline, backends, name) for name in lacking]
    return rows


def _absent_row(
    claim: Claim, metric: str, backend: str, baseline: str, backends: Sequence[str], names: str
) -> Verdict:
    if baseline == "vm-kvm" and "vm-kvm" not in backends and "vm-tcg" in backends:
        reason = "no usable KVM on this host: its virtual machines ran as vm-tcg, judged apart"
    else:
        reason = f"no samples of {names} for {backend}" + (f" beside {baseline}" if baseline else "")
    return empty(claim.id, metric, backend, baseline, reason)


def merge(rows: Sequence[Verdict], gaps: Sequence[Verdict]) -> list[Verdict]:
    """Rows of one claim beside its gaps, never two for one thing.

    What was partly measured before it broke keeps its row, which tells the gap's reason; a row with nothing
    in it gives way to the gap.
    """
    kept: list[Verdict] = []
    told: set[tuple[str, str]] = set()
    for row in rows:
        named = [gap for gap in gaps if gap.backend == row.backend and gap.metric in (ALL, row.metric)]
        if named and row.n_pairs == 0:
            continue
        reason = join(row.reason, *(f"not complete: {gap.reason}" for gap in named))
        told.update((gap.metric, gap.backend) for gap in named)
        kept.append(msgspec.structs.replace(row, reason=reason))
    return [*kept, *(gap for gap in gaps if (gap.metric, gap.backend) not in told)]


def later(claim: Claim) -> Verdict:
    """The row of a claim that no scenario measures yet."""
    return empty(claim.id, ALL, ALL, "", claim.reason)


def nobody(claim: Claim) -> Verdict:
    """The row of a claim about systems none of which were in the run."""
    reason = f"none of the systems it speaks of was in this run ({', '.join(claim.backends)})"
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
    claim: str, metric: str, backend: str, baseline: str, reason: str, state: State = "not measured"
) -> Verdict:
    """A row without numbers."""
    return Verdict(
        claim=claim,
        metric=metric,
        backend=backend,
        baseline=baseline,
        estimate=None,
        low=None,
        high=None,
        margin=None,
        alpha=0.05,
        n_sessions=0,
        n_pairs=0,
        verdict=state,
        reason=reason,
    )
