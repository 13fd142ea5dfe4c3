"""Robust centres of small samples. Nothing is ever dropped: an outlier keeps its place, it only loses its leverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def hodges_lehmann(values: Floats) -> float:
    """One-sample Hodges–Lehmann estimate: the median of all Walsh averages (x_i + x_j) / 2 with i <= j.

    Shape (n,) → scalar in the unit of `values`; nan when empty. Efficiency 0.955 against the mean under
    normal noise (the median has 0.637), breakdown point 29 %.
    Source: Hodges & Lehmann (1963), Ann. Math. Statist. 34(2), 598–611.
    """
    if values.size == 0:
        return float("nan")
    first, second = np.triu_indices(values.size)
    return float(np.median((values[first] + values[second]) / 2.0))


def locations_by_group(values: Floats, groups: Ints) -> tuple[Ints, Floats]:
    """Hodges–Lehmann estimate of each group: `values` and `groups` of shape (n,) → (group ids ascending, estimates).

    The order of rows inside a group has no influence.
    """
    order = np.argsort(groups, kind="stable")
    ids, starts = np.unique(groups[order], return_index=True)
    parts = np.split(values[order], starts[1:]) if ids.size else []
    return ids, np.array([hodges_lehmann(part) for part in parts], dtype=np.float64)
