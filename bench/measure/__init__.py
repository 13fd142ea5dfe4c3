"""Runs a plan against backends: when each slice runs, what happens when one fails, and when to stop."""

from bench.measure.family_resources import Maker
from bench.measure.interim import FamilyTally, Tally
from bench.measure.observer import Observer
from bench.measure.runner import RunOutcome, Site, run

__all__ = ["FamilyTally", "Maker", "Observer", "RunOutcome", "Site", "Tally", "run"]
