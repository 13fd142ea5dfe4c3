"""Claims that something is the same everywhere: exact comparisons inside a block, no statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bench.claims import Claim
from bench.judging import missing
from bench.judging.pairs import Key, Loss, Visits
from bench.judging.rows import Gate, count
from bench.model import Kind, State, Verdict


def rows(
    claim: Claim,
    visits: Visits,
    arms: Sequence[str],
    kinds: Mapping[str, Kind],
    gate: Gate,
    gaps: Sequence[Verdict],
) -> list[Verdict]:
    """One row for each metric and arm: refuted by one pair that differs, supported by enough that do not.

    gaps: rows of what could not be measured, which stand in where there is no pair.
    """
    baseline = claim.baselines[0]
    spoken = [arm for arm in arms if claim.speaks_of(arm, kinds.get(arm))]
    found = [
        _row(claim, visits, metric, arm, baseline, gate)
        for metric in claim.primary
        for arm in spoken
        if (metric, arm) in visits.tried
    ]
    done = {(row.metric, row.arm, baseline) for row in found}
    own = [row for row in gaps if row.claim == claim.id]
    return missing.merge(found, own) + missing.absent(claim, arms, done, gaps, kinds)


def _row(claim: Claim, visits: Visits, metric: str, arm: str, baseline: str, gate: Gate) -> Verdict:
    cells = visits.cells[visits.cells["metric"] == metric]
    own, base = cells[cells["arm"] == arm], cells[cells["arm"] == baseline]
    both = own.merge(base, on=["cluster", "block"], suffixes=("", "_base"))
    differ = int((both["value"] != both["value_base"]).sum())
    state, reason = _state(len(both), differ, baseline, gate)
    row = missing.empty(claim.id, metric, arm, baseline, reason, state)
    texts = (*row.notes, *_losses(visits.lost, (metric, arm)))
    sessions = int(both["cluster"].nunique())
    return msgspec.structs.replace(row, notes=texts, n_pairs=len(both), n_sessions=sessions)


def _state(pairs: int, differ: int, baseline: str, gate: Gate) -> tuple[State, str]:
    if gate.smoke:
        return "inconclusive", "the smoke profile never gives a verdict"
    if differ:
        return "refuted", f"{differ} of {count(pairs, 'pair')} differ from {baseline}"
    if pairs < gate.min_sessions:
        return "inconclusive", f"{count(pairs, 'pair')}, a verdict needs at least {gate.min_sessions}"
    return "supported", f"the same as {baseline} in {count(pairs, 'pair')}"


def _losses(lost: dict[Key, Loss], key: Key) -> Iterator[str]:
    loss = lost.get(key)
    if loss:
        yield f"{count(loss.count, 'invalid sample')} of {key[1]} left out ({loss.reason})"
