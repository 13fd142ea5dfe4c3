"""The wall-clock guard: the budget is a cap, shared out over the groups of the core as the forecast says.

A group of the core past its share of the clock loses the turns that a verdict can do without, so on a machine
slower than forecast intervals get wider evenly and no metric is lost. Sessions after the core go on until the
budget is spent; what they hold is chosen anew before each (bench.measure.looks). Only the first MIN_SESSIONS
sessions' first blocks of primary metrics are run whatever it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from bench.profiles import MIN_SESSIONS

SECOND = 1_000_000_000

CORE_LIMIT = 0.85
"""Of the budget that the core may take on a slow machine: something is left for what the core leaves open."""


class Guard:
    """Deadlines by (session, group). `shares` are (session, group, forecast seconds) in plan order.

    core: sessions before the first look; None where the run does not look, so that all of it is the core.
    spent_s: seconds of measuring before a run was cut and went on.
    """

    def __init__(
        self,
        shares: Sequence[tuple[int, str, float]],
        budget_s: float,
        clock: Callable[[], int],
        *,
        core: int | None = None,
        spent_s: float = 0.0,
    ) -> None:
        self._clock = clock
        self._start = clock() - int(spent_s * SECOND)
        self._budget = budget_s
        mine = [share for share in shares if core is None or share[0] < core]
        total = sum(seconds for _, _, seconds in mine) or 1.0
        cap = budget_s if core is None else min(budget_s, max(total, CORE_LIMIT * budget_s))
        self._deadline: dict[tuple[int, str], float] = {}
        spent = 0.0
        for session, group, seconds in mine:
            spent += seconds
            self._deadline[session, group] = spent * cap / total
        self._ahead = total
        self._behind = 0.0
        self._since = self.elapsed()

    def elapsed(self) -> float:
        """Seconds of measuring so far, those before an interruption included."""
        return (self._clock() - self._start) / SECOND

    def left(self) -> float:
        """Seconds of the budget that are left."""
        return max(0.0, self._budget - self.elapsed())

    def turn_allowed(self, session: int, group: str) -> bool:
        """May a further turn of this group begin that is not run whatever it takes?"""
        return self.elapsed() <= self._deadline.get((session, group), self._budget)

    def session_allowed(self, session: int) -> bool:
        """May a further session begin? The first MIN_SESSIONS always may: no verdict without them."""
        return session < MIN_SESSIONS or self.elapsed() <= self._budget

    def passed(self, seconds: float) -> None:
        """So many forecast seconds of work are behind us, done or dropped."""
        self._ahead = max(0.0, self._ahead - seconds)
        self._behind += seconds

    def expect(self, seconds: float) -> None:
        """So many seconds are ahead, as a look forecasts them from what was measured."""
        self._ahead, self._behind, self._since = seconds, 0.0, self.elapsed()

    def seconds_left(self) -> float:
        """Forecast of the time that is left, at the pace seen so far, never beyond the budget."""
        known = self._behind > 0.05 * (self._ahead + self._behind)
        pace = (self.elapsed() - self._since) / self._behind if known else 1.0
        if math.isclose(self._ahead, 0.0, abs_tol=1e-6):
            return 0.0
        return min(self._ahead * pace, self.left())
