"""Fixed work in whole units, and additional work for the positive control.

The control really does `extra` more work in a slice, but its figure is computed as if it had done the nominal
work. So its true performance is units / done of the host's, which a run with enough power must detect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bench.model import Metric
from bench.scenarios.base import Reading


class Work(msgspec.Struct, frozen=True):
    """`units` of nominal work, and the share `extra` on top.

    Every slice has units that are a multiple of 50, for which 2 % is a whole number of units.
    """

    units: int
    extra: float = 0.0

    @property
    def done(self) -> int:
        """Units that are really done, rounded to a whole number."""
        return self.units + round(self.units * self.extra)

    @property
    def factor(self) -> float:
        """Work done per unit of nominal work: 1 without extra work, 1.02 with 2 %."""
        return self.done / self.units

    def nominal(self, readings: Iterable[Reading], metrics: Sequence[Metric]) -> list[Reading]:
        """Convert figures per unit of work done to figures per unit of nominal work.

        A rate (higher is better) is divided by `factor`, a time or cost per unit multiplied. Without extra
        work nothing changes.
        """
        if self.done == self.units:
            return list(readings)
        rates = {metric.name for metric in metrics if metric.better == "higher"}
        return [
            msgspec.structs.replace(
                reading,
                value=reading.value / self.factor if reading.metric in rates else reading.value * self.factor,
            )
            for reading in readings
        ]
