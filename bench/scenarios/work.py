"""Fixed work in whole units, and more of it for the positive control.

The control does `extra` more real work in a slice and its figure is told as if it had done the nominal work
alone. So its true performance is units / done of the host's, and a run with enough power has to find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bench.model import Metric
from bench.scenarios.base import Reading


class Work(msgspec.Struct, frozen=True):
    """`units` of nominal work, and a share `extra` of it on top.

    Every slice has units that are a multiple of 50, for which 2 % is a whole number of units.
    """

    units: int
    extra: float = 0.0

    @property
    def done(self) -> int:
        """Units that are really done: the nearest whole number."""
        return self.units + round(self.units * self.extra)

    @property
    def factor(self) -> float:
        """Work done for each unit of nominal work: 1 without extra work, 1.02 with 2 % of it."""
        return self.done / self.units

    def nominal(self, readings: Iterable[Reading], metrics: Sequence[Metric]) -> list[Reading]:
        """Figures per unit of work that was done → figures per unit of nominal work.

        A rate (higher is better) falls by `factor`, a time or cost for each unit rises by it. Without extra
        work all stay as they are.
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
