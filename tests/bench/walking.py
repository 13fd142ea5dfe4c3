"""A plan, fakes to run it on, and what came out: what the tests of the walk share."""

from pathlib import Path

import msgspec

from bench import journal, measure, plan
from bench.journal import Journal, RunLine
from bench.model import Plan
from bench.profiles import PROFILES, Profile
from bench.testing import FakeBackend, FakeClock, fake_arms, fake_run, fake_scenarios

SMALL = msgspec.structs.replace(
    PROFILES["quick"],
    sessions=5,
    first_look=0,
    max_visits=2,
    budget_s=1000.0,
    slow_sessions=4,
    every=1,
    pairs=4,
)
NAMES = {"runtime": "runtime", "vm": "vm-tcg"}


class Bench:
    """A plan, fakes to run it on, and what came out."""

    def __init__(
        self, directory: Path, scenarios=None, profile: Profile = SMALL, fails=None, names=NAMES, seed=5
    ) -> None:
        self.events = []
        self.clock = FakeClock()
        self.profile = profile
        self.scenarios = {s.name: s for s in scenarios or fake_scenarios()}
        arms = fake_arms(**names)
        slowness = {"runtime": 1.002, "vm": 5.0}
        self.backends = {
            arm.name: FakeBackend(
                arm.backend,
                final=arm.name,
                slowness=slowness.get(arm.backend, 1.0),
                events=self.events,
                fails=fails or (lambda event: ""),
            )
            for arm in arms
        }
        self.plan: Plan = plan.make_plan(profile, seed, arms, list(self.scenarios.values()), cpus=(0,))
        self.path = directory / journal.NAME
        self.directory = directory

    def run(self, so_far=None, observer=None, **site_more) -> measure.RunOutcome:
        site = measure.Site(
            run_id="r",
            backends=self.backends,
            scenarios=self.scenarios,
            profile=self.profile,
            scratch=self.directory / "scratch",
            clock=self.clock,
            **site_more,
        )
        with Journal(self.path) as book:
            book.append(RunLine(run=fake_run(self.plan)))
            return measure.run(self.plan, site, book, so_far=so_far, observer=observer)

    def read(self) -> journal.Contents:
        return journal.read(self.path)
