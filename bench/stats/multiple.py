"""Correction for several tests."""

from __future__ import annotations

import numpy as np

from bench.stats.location import Floats


def holm(p_values: Floats) -> Floats:
    """Holm's step-down adjusted p-values along the last axis, in the order given; any dependence is allowed.

    Sorted ascending, p~(i) = max over j <= i of min(1, (m − j + 1) · p(j)): rejecting where p~ <= alpha keeps
    the chance of any false rejection at alpha or below. nan counts as 1 and still counts as a test.
    Source: Holm (1979), Scand. J. Statist. 6(2), 65–70.
    """
    filled = np.where(np.isnan(p_values), 1.0, p_values)
    count = filled.shape[-1]
    order = np.argsort(filled, axis=-1, kind="stable")
    factors = np.arange(count, 0, -1)
    stepped = np.minimum(1.0, np.take_along_axis(filled, order, axis=-1) * factors)
    adjusted = np.empty_like(filled)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(stepped, axis=-1), axis=-1)
    return adjusted
