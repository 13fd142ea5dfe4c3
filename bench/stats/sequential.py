"""Looking at the data several times without erring more often: alpha spending over a number of sessions.

A run may look after session `first`, `first` + 1, … `last`. By look n a share (n / last) ** RHO of alpha is
spent (Kim & DeMets 1987, Biometrika 74(1), 149-154).
"""

from __future__ import annotations

RHO = 2.0


def level(alpha: float, look: int, first: int, last: int, *, final: bool) -> float:
    """One-sided level for a bound read at session `look`, so that all looks together err in at most `alpha`.

    final: it was the last look, for a reason that is not in the data (the plan or the clock ended), so all
    that is left of alpha is spent there.
    """
    before = alpha * (max(look - 1, 0) / last) ** RHO if look > first else 0.0
    now = alpha if final or look >= last else alpha * (look / last) ** RHO
    return now - before
