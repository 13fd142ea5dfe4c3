"""Robust centres of small samples. Outliers are not dropped, but they have little influence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def medians_by_group(values: Floats, groups: Ints) -> tuple[Ints, Floats]:
    """Median of each group: `values`, `groups` of shape (n,) → (ids ascending, medians), in the values' unit.

    The middle of the sorted values, or the mean of the two middle ones: up to half of a group may be
    outliers. The order of rows has no influence. All groups at once: one sort.
    """
    order = np.lexsort((values, groups))
    ids, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    ordered = values[order]
    medians = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2.0
    return ids.astype(np.int64), medians


def hodges_lehmann(values: Floats) -> Floats:
    """One-sample Hodges–Lehmann estimate: the median of all Walsh averages (x_i + x_j) / 2 with i <= j.

    Shape (..., n) → (...), in the unit of `values`; nan when n is 0. Efficiency 0.955 against the mean under
    normal noise (the median has 0.637), breakdown point 29 %. The judge does not use it: in a session of six
    pairs it tolerates one outlier, the median two (see bench.stats.validate.estimators).
    Source: Hodges & Lehmann (1963), Ann. Math. Statist. 34(2), 598–611.
    """
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    first, second = np.triu_indices(values.shape[-1])
    walsh = (values[..., first] + values[..., second]) / 2.0
    return np.asarray(np.median(walsh, axis=-1), dtype=np.float64)
