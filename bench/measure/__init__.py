"""Runs a plan against backends: when each slice runs, what happens when one fails, and when to stop."""

from bench.measure.family_resources import Maker
from bench.measure.interim import Tally
from bench.measure.observer import Watch
from bench.measure.runner import Outcome, Site, run

__all__ = ["Maker", "Outcome", "Site", "Tally", "Watch", "run"]
