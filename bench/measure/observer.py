"""What a run reports while it goes on, to a progress bar or a test. The default ignores everything."""

from __future__ import annotations

from bench.measure.interim import Tally
from bench.model import Step


class Observer:
    """Override what you want to see. Called between slices, never inside one."""

    def say(self, text: str) -> None:
        """The set-up says what it does."""

    def begin(self, steps: int, seconds: float) -> None:
        """The run starts: number of steps left and forecast of seconds left."""

    def starting(self, session: int, group: str, arm: str) -> None:
        """An instance is about to be started."""

    def step(self, step: Step, family: str) -> None:
        """A slice is about to run."""

    def advanced(self, steps: int, seconds_left: float) -> None:
        """So many steps were measured or left out, and so many forecast seconds are left."""

    def repeated(self, takes: int) -> None:
        """A slice was measured after so many takes that were set aside because of pressure."""

    def looked(self, tally: Tally) -> None:
        """The run looked at its data."""

    def note(self, text: str) -> None:
        """Something that readers of the run should know; it is in the journal too."""

    def end(self) -> None:
        """Nothing more will be measured."""
