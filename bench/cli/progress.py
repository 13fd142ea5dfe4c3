"""Progress of a run: live lines in a terminal, a line a minute in a pipe, silence for --json.

Nothing is drawn while a slice runs: in a terminal the lines are redrawn between slices, and what turns by
itself does so only before and after the measuring.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench import claims
from bench.answers.metric_names import metric_words
from bench.answers.sentences import amount, between
from bench.answers.words import NBSP
from bench.cli.console import OPEN, printable
from bench.measure import FamilyTally, Observer, Tally
from bench.model import Step

AFTERWARDS_S = 10.0
"""Seconds of the image's digest, the verdicts and the page after a default run on two CPUs."""

LONG_S = 2.0
"""What takes longer is shown with its seconds."""

_TRACEBACK = "Traceback (most recent call last):"
_REDRAW_S, _LINE_S = 0.5, 60.0
_BAR = 24


class Watch(Observer):
    """What all have in common: phases of the set-up and of the end, with their seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self._phase, self._since = "", 0.0

    def say(self, text: str) -> None:
        """A phase begins; the one before is over."""
        self.done()
        self._phase, self._since = text, self._clock()
        self._begun(text)

    def done(self) -> None:
        """The last phase is over."""
        if self._phase:
            self._over(self._phase, self._clock() - self._since)
        self._phase = ""

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """A phase around a block."""
        self.say(text)
        try:
            yield
        finally:
            self.done()

    def note(self, text: str) -> None:
        """Print what a user should heed in one line: the first, of a traceback the last."""
        self.done()
        first, *more = text.strip().splitlines()
        if more and first.endswith(_TRACEBACK):
            first = first.removesuffix(_TRACEBACK) + more[-1]
        self._line(f"! {first}", OPEN)

    def end(self) -> None:
        """Nothing more is measured."""
        self.done()

    def _begun(self, text: str) -> None:
        """Show that a phase has begun."""

    def _over(self, text: str, seconds: float) -> None:
        """Show that it is over."""

    def _line(self, text: str, style: str = "") -> None:
        self.console.print(printable(text), markup=False, highlight=False, style=style)


class Bar(Watch):
    """For a terminal: a line a family with what is decided, and a bar with the time left."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._turning: Progress | None = None
        self._live: Live | None = None
        self._drawn = 0.0
        self._what, self._left, self._done, self._total, self._repeats = "", 0.0, 0, 0, 0
        self._slices: dict[str, int] = {}
        self._families: dict[str, FamilyTally] = {}

    def begin(self, steps: int, seconds: float) -> None:
        """Show the bar."""
        self.done()
        self._total, self._left = steps, seconds
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        self._draw(now=True)

    def starting(self, session: int, group: str, arm: str) -> None:
        """Show which instance is being started."""
        self._what = f"session {session + 1}: start {arm}"
        self._draw(now=True)

    def step(self, step: Step, family: str) -> None:
        """Show what is being measured."""
        self._what = f"session {step.session + 1}: {family} on {step.arm}"
        self._slices[family] = self._slices.get(family, 0) + 1
        self._draw()

    def advanced(self, steps: int, seconds_left: float) -> None:
        """Move the bar."""
        self._done += steps
        self._left = seconds_left
        self._draw()

    def repeated(self, takes: int) -> None:
        """Count the slices that were repeated."""
        self._repeats += takes

    def looked(self, tally: Tally) -> None:
        """Show what is decided now."""
        self._families = {one.family: one for one in tally.families}
        self._left = tally.seconds_left
        self._draw(now=True)

    def end(self) -> None:
        """Remove the lines; what was decided stays."""
        super().end()
        if self._live is not None:
            self._live.stop()
            self._live = None
            for one in self._families.values():
                self._line(f"· {standing(one)}")

    def _begun(self, text: str) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._turning = Progress(*columns, console=self.console, transient=True)
        self._turning.add_task(printable(text), total=None)
        self._turning.start()

    def _over(self, text: str, seconds: float) -> None:
        if self._turning is not None:
            self._turning.stop()
            self._turning = None
        self._line(f"· {text}{f', {seconds:.0f} s' if seconds > LONG_S else ''}")

    def _draw(self, now: bool = False) -> None:
        if self._live is None or (not now and self._clock() - self._drawn < _REDRAW_S):
            return
        self._drawn = self._clock()
        names = dict.fromkeys((*self._families, *self._slices))
        lines = [
            Text(
                standing(self._families[name])
                if name in self._families
                else f"{name:<8} {self._slices[name]} slices",
                no_wrap=True,
                overflow="ellipsis",
            )
            for name in names
        ]
        self._live.update(Group(*lines, self._bar()), refresh=True)

    def _bar(self) -> Table:
        again = f", {self._repeats} repeated" if self._repeats else ""
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        row.add_column(width=min(_BAR, self.console.width // 5))
        row.add_column(no_wrap=True, justify="right")
        row.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=max(1, self._total), completed=self._done)
        row.add_row(self._what, bar, f"{self._done}/{self._total}", left(self._left) + again)
        return row


class Lines(Watch):
    """For logs and pipes: a line a phase, and a line a minute while slices run."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._begin = self._last = 0.0
        self._session = 0
        self._tally: Tally | None = None

    def begin(self, steps: int, seconds: float) -> None:
        """Print how much there is to measure."""
        self.done()
        self._begin = self._last = self._clock()
        self._line(f"· measuring: {steps} steps, {left(seconds)}")

    def starting(self, session: int, group: str, arm: str) -> None:
        """Keep the session's number."""
        self._session = session + 1

    def looked(self, tally: Tally) -> None:
        """Keep what is decided."""
        self._tally = tally

    def advanced(self, steps: int, seconds_left: float) -> None:
        """Print a line where a minute has passed since the last."""
        now = self._clock()
        if now - self._last < _LINE_S:
            return
        self._last = now
        families = self._tally.families if self._tally else ()
        decided = ", ".join(f"{one.family} {one.decided} of {one.pairs}" for one in families)
        known = f"; decided: {decided}" if decided else ""
        self._line(f"· {_clocked(now - self._begin)}, session {self._session}{known}; {left(seconds_left)}")

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """A phase around a block: named afterwards, if it took long."""
        since = self._clock()
        yield
        self._over(text, self._clock() - since)

    def end(self) -> None:
        """Print what was decided."""
        super().end()
        for one in self._tally.families if self._tally else ():
            self._line(f"· {standing(one)}")

    def _begun(self, text: str) -> None:
        self._line(f"· {text}")

    def _over(self, text: str, seconds: float) -> None:
        if seconds > LONG_S:
            self._line(f"· {text}: {seconds:.0f} s")


class Silent(Watch):
    """For --json: print nothing."""

    def _line(self, text: str, style: str = "") -> None:
        """Print nothing."""


Progressing = Bar | Lines | Silent


def progress(console: Console, quiet: bool) -> Progressing:
    """Return live lines for a terminal, lines for anything else, silence for --json."""
    if quiet:
        return Silent(console)
    return Bar(console) if console.is_terminal else Lines(console)


def standing(one: FamilyTally) -> str:
    """A family: how much of it is decided or given up, and the number that is furthest from a verdict."""
    text = f"{one.family:<8} {one.decided} of {one.pairs} decided"
    text += f", {one.out_of_reach} out of reach" if one.out_of_reach else ""
    row = one.furthest
    if row is None:
        return text
    claim = next((known for known in claims.load().claim if known.id == row.claim), None)
    span = between(claim, row)
    number = f"{amount(claim, row.estimate)}{f' ({span})' if span else ''}".replace(NBSP, " ")
    return f"{text}; {metric_words(row.metric)} of {row.arm} {number}"


def left(seconds: float) -> str:
    """The time left, with what comes after the measuring."""
    return f"{_clocked(seconds + AFTERWARDS_S)} left"


def _clocked(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
