"""What a run tells whoever looks on (a progress bar, a test). The default is silence."""

from __future__ import annotations

from bench.measure.interim import Tally
from bench.model import Step


class Watch:
    """Override what you want to see. Called between slices, never inside one."""

    def begin(self, steps: int, seconds: float) -> None:
        """The run starts: number of steps left and forecast of seconds left."""

    def starting(self, session: int, group: str, arm: str) -> None:
        """An instance is about to be started."""

    def step(self, step: Step, family: str) -> None:
        """A slice is about to run."""

    def advanced(self, steps: int, seconds_left: float) -> None:
        """So many steps are behind us (measured or dropped) and so many forecast seconds ahead."""

    def visited(self, repeats: int) -> None:
        """A slice was measured, after so many takes that were set aside because of pressure."""

    def looked(self, tally: Tally) -> None:
        """The run looked at its data."""

    def note(self, text: str) -> None:
        """Something the reader of the run should know; it is in the journal too."""

    def end(self) -> None:
        """Nothing more will be measured."""
