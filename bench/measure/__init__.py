"""Runs a plan against backends: when each slice runs, what happens when one fails, and when to stop."""

from bench.measure.course import Tally
from bench.measure.places import Maker
from bench.measure.walk import Outcome, Site, run
from bench.measure.watch import Watch

__all__ = ["Maker", "Outcome", "Site", "Tally", "Watch", "run"]
