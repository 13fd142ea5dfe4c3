"""The time budget of a run: a cap, shared out over the groups of the core as the forecast says.

A group of the core past its share of the time loses the turns that a verdict can do without, so on a machine
slower than forecast intervals get wider evenly and no metric is lost. Sessions after the core go on until the
budget is spent; what they hold is chosen anew before each (bench.measure.looks). Only the first blocks of
primary metrics in the first sessions are run whatever they take (bench.plan.guard).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

SECOND = 1_000_000_000

CORE_LIMIT = 0.85
"""Of the budget that the core may take on a slow machine: something is left for what the core leaves open."""


class TimeBudget:
    """Deadlines by (session, group). `shares` are (session, group, forecast seconds) in plan order.

    least: sessions that are measured in any case. core: sessions before the first look; None where the run
    looks only at its end, so that all of it is core. spent_s: seconds of measuring before a run was cut and
    went on. behind_s: forecast seconds of the work that was over by then, as the ledger counts it.
    """

    def __init__(
        self,
        shares: Sequence[tuple[int, str, float]],
        budget_s: float,
        clock: Callable[[], int],
        *,
        least: int,
        core: int | None = None,
        spent_s: float = 0.0,
        behind_s: float = 0.0,
    ) -> None:
        self._clock = clock
        self._start = clock() - int(spent_s * SECOND)
        self._budget = budget_s
        self._least = least
        mine = [share for share in shares if core is None or share[0] < core]
        total = sum(seconds for _, _, seconds in mine) or 1.0
        cap = budget_s if core is None else min(budget_s, max(total, CORE_LIMIT * budget_s))
        self._deadline: dict[tuple[int, str], float] = {}
        spent = 0.0
        for session, group, seconds in mine:
            spent += seconds
            self._deadline[session, group] = spent * cap / total
        self.expect(max(0.0, total - behind_s), behind_s)

    def elapsed(self) -> float:
        """Seconds of measuring so far, those before an interruption included."""
        return (self._clock() - self._start) / SECOND

    def left(self) -> float:
        """Seconds of the budget that are left."""
        return max(0.0, self._budget - self.elapsed())

    def turn_allowed(self, session: int, group: str) -> bool:
        """May another turn of this group begin, if it is not one that is run in any case?"""
        return self.elapsed() <= self._deadline.get((session, group), self._budget)

    def session_allowed(self, session: int) -> bool:
        """May another session begin? The first ones always may: there is no verdict without them."""
        return session < self._least or self.elapsed() <= self._budget

    def expect(self, seconds: float, behind_s: float) -> None:
        """Count on so many seconds from here on, where the ledger has `behind_s` behind it."""
        self._ahead, self._behind, self._since = seconds, behind_s, self.elapsed()

    def seconds_left(self, behind_s: float, must_s: float = 0.0) -> float:
        """Forecast of the time that is left, at the pace seen so far.

        Never beyond the budget, unless what is measured in any case (must_s, forecast seconds) does.
        """
        done = behind_s - self._behind
        ahead = max(0.0, self._ahead - done)
        known = done > 0.05 * (ahead + done)
        pace = (self.elapsed() - self._since) / done if known and done > 0 else 1.0
        if math.isclose(ahead, 0.0, abs_tol=1e-6):
            ahead = 0.0
        return max(min(ahead * pace, self.left()), max(0.0, must_s) * pace)
