"""At which level a comparison is read: alpha as the claim says, or the share that its last look may spend."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.judging.comparisons import Comparison
from bench.model import Closed, Looks, OutOfReach, Place, Plan
from bench.stats.sequential import level


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What a run looked at, and when. The default is a run that looks once, at its end.

    sessions: of the run, at this look. closed: sessions after which a look ended it; given_up: after which a
    look put it out of reach, which depends on the data, so that it never gets the rest of alpha. ends:
    sessions after which the plan has nothing more of it, which no look had a part in. in_core: how many
    sessions come before the run's first look. final: no look follows.
    """

    looks: Looks | None = None
    sessions: int = 0
    closed: dict[Place, int] = {}
    given_up: dict[Place, int] = {}
    ends: dict[Place, int] = {}
    in_core: dict[Place, int] = {}
    final: bool = True

    def end(self, comparison: Comparison) -> int | None:
        """Sessions after which the plan has no more pairs; None where it does not say."""
        return _first(self.ends, comparison)

    def stopped(self, comparison: Comparison) -> int | None:
        """Sessions after which a look ended the pair, closing one of its sides before the plan's end."""
        stop, end = _first(self.closed, comparison), self.end(comparison)
        return None if stop is None or (end is not None and stop >= end) else stop

    def gave_up(self, comparison: Comparison) -> bool:
        """Whether a look put it out of reach."""
        return _first(self.given_up, comparison) is not None

    def exhausted(self, comparison: Comparison) -> bool:
        """Whether the plan has no more pairs, so that this was its last look."""
        end = self.end(comparison)
        return end is not None and self.sessions >= end

    def looks_at(self, comparison: Comparison) -> Looks | None:
        """When looks may decide it, in sessions of its own: from as many as it has before the run's first
        look, to as many as it can have. The plan says how many those are, so they do not depend on data."""
        if self.looks is None:
            return None
        sides = ((comparison.scenario, arm) for arm in (comparison.arm, comparison.baseline) if arm)
        core = self.looks.core or self.looks.first
        planned = [side for side in sides if side in self.ends] if self.in_core else []
        own = min((self.in_core.get(side, 0) for side in planned), default=core)
        return Looks(first=max(self.looks.first, own), last=self.looks.last - core + own)

    def level(self, alpha: float, comparison: Comparison) -> float:
        """The one-sided level for this comparison's bounds; a joined test gives its share as alpha.

        A look counts by the sessions that the comparison itself has: where a session went to others, the data
        are those of the look before, and so is the level. 0 where no look was due.
        """
        looks = self.looks_at(comparison)
        if looks is None:
            return alpha
        first, last, own = looks.first, looks.last, comparison.series.n_sessions
        if self.stopped(comparison) is not None or self.gave_up(comparison):
            # One that was ended for another's sake before a look of its own was due is read as at its first.
            return level(alpha, max(own, first), first, last, final=False)
        return level(alpha, own, first, last, final=self.final or self.exhausted(comparison))

    def note(self, comparison: Comparison, *, undecided: bool = False) -> str:
        """When a look ended it, or that none did; empty where neither says anything."""
        if self.looks is None:
            return ""
        stop, of = self.stopped(comparison), f"of {self.looks.last} sessions"
        if stop is not None:
            return f"decided after {stop} {of}"
        return f"still open after {self.sessions} {of}" if undecided and self.sessions else ""


def spending(
    plan: Plan,
    sessions: int,
    closed: Sequence[Closed],
    given_up: Sequence[OutOfReach] = (),
    *,
    final: bool,
) -> Spending:
    """The spending of a run by this plan after so many sessions."""
    if plan.looks is None:
        return Spending()
    places = {(one.scenario, one.arm): one.sessions for one in closed}
    return Spending(
        looks=plan.looks,
        sessions=sessions,
        closed=places,
        given_up={(one.scenario, one.arm): one.sessions for one in given_up},
        ends=plan.ends,
        in_core=plan.in_core,
        final=final,
    )


def _first(places: dict[Place, int], comparison: Comparison) -> int | None:
    sides = ((comparison.scenario, arm) for arm in (comparison.arm, comparison.baseline))
    return min((places[side] for side in sides if side in places), default=None)
