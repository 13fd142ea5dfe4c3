"""Scenarios × arms × profile → one seeded, complete order of a run. Pure: no clock, no host, no I/O.

The order, from the outside in:

    session   fresh instances of every arm (the cluster of the statistics)
      group   scenarios with an equal InstanceSpec share one instance; those that start their own are "own"
        block     every scenario that is due, every fast arm once
          scenario  shuffled
            arm       shuffled, one directly after the other; those that verdicts pair (host and runtime,
                      their second copies) are neighbours: what else the machine does lasts for some slices

How often a scenario is visited in a session follows from the budget and from what visits are known to cost.
Each is visited once in MIN_SESSIONS sessions, without which there is no verdict, and what runs by turns or is
cheap in all (bench.profiles.Profile.every); where that alone exceeds the core's share of the budget, what no
sentence rests on comes half as often, the dearest first, if that is not enough in one session, and then the
suite's own questions come after the core, where there is time. Then come several visits of what is cheap and
noisy (bench.profiles.PAIRED); what is left goes where one more visit lowers a mean's variance most for its
cost, primary metrics counting more. The *core* is the sessions before the first look at
the data (all, where a run does not look). The plan goes on after it to the last session that may be, with
more visits in each: what the looks decide is left out then (bench.measure.looks). Slow arms attend only the
first sessions: their effects are large, their instances expensive.
"""

from bench.plan.arms import arms_for, neighbours, serves
from bench.plan.choice import Excluded, too_slow
from bench.plan.costs import OWN, forecast, group_of, paces_of, step_s, warmups
from bench.plan.draft import spread
from bench.plan.guard import guarded, least_sessions
from bench.plan.making import PlanError, encoded, make_plan

__all__ = [
    "OWN",
    "Excluded",
    "PlanError",
    "arms_for",
    "encoded",
    "forecast",
    "group_of",
    "guarded",
    "least_sessions",
    "make_plan",
    "neighbours",
    "paces_of",
    "serves",
    "spread",
    "step_s",
    "too_slow",
    "warmups",
]
