"""The wall-clock guard: the budget is a cap, shared out over the groups of all sessions as the forecast says.

A group past its share of the clock loses the turns that a verdict can do without, so on a machine slower than
forecast intervals get wider evenly and no metric is lost. When the whole budget is spent, sessions beyond the
minimum go too. Only the core (the first MIN_SESSIONS sessions, first block, primary metrics) is run whatever
it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.profiles import MIN_SESSIONS

SECOND = 1_000_000_000


class Guard:
    """Deadlines by (session, group). `shares` are (session, group, forecast seconds) in plan order."""

    def __init__(
        self, shares: Sequence[tuple[int, str, float]], budget_s: float, clock: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._start = clock()
        total = sum(seconds for _, _, seconds in shares) or 1.0
        scale = budget_s / total
        self._deadline: dict[tuple[int, str], float] = {}
        spent = 0.0
        for session, group, seconds in shares:
            spent += seconds
            self._deadline[session, group] = spent * scale
        self._budget = budget_s
        self._total = total
        self._behind = 0.0

    def elapsed(self) -> float:
        """Seconds since the guard was made."""
        return (self._clock() - self._start) / SECOND

    def turn_allowed(self, session: int, group: str) -> bool:
        """May a further turn of this group begin that is not of the core?"""
        return self.elapsed() <= self._deadline[session, group]

    def session_allowed(self, session: int) -> bool:
        """May a further session begin? The first MIN_SESSIONS always may: no verdict without them."""
        return session < MIN_SESSIONS or self.elapsed() <= self._budget

    def passed(self, seconds: float) -> None:
        """So many forecast seconds of work are behind us, done or dropped."""
        self._behind += seconds

    def seconds_left(self) -> float:
        """Forecast of the time that is left, at the pace seen so far, never beyond the budget."""
        ahead = max(self._total - self._behind, 0.0)
        pace = self.elapsed() / self._behind if self._behind > 0.05 * self._total else 1.0
        return min(ahead * pace, max(self._budget - self.elapsed(), 0.0))
