"""Progress of a run in the terminal: a bar with the time left and the current family and arm."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.measure import Observer, Tally
from bench.model import Step


class Lines(Observer):
    """For logs and pipes: one line per session and per look."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._session = -1

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(f"· {text}", markup=False, highlight=False)

    def starting(self, session: int, group: str, arm: str) -> None:
        """Print when a session begins."""
        if session != self._session:
            self._session = session
            self.say(f"session {session + 1}")

    def looked(self, tally: Tally) -> None:
        """Print the result of a look."""
        self.say(str(tally))

    def note(self, text: str) -> None:
        """Print the first line of a note."""
        self.console.print(f"! {text.splitlines()[0]}", markup=False, highlight=False, style="yellow")


class Bar(Lines):
    """A progress bar on standard error, with lines above it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, left="")
        self._repeats = 0

    def begin(self, steps: int, seconds: float) -> None:
        """Show the bar."""
        self._progress.update(self._task, total=steps, left=_left(seconds))
        self._progress.start()

    def starting(self, session: int, group: str, arm: str) -> None:
        """Show which instance is being started."""
        self._progress.update(self._task, description=f"session {session + 1}: start {arm}")

    def step(self, step: Step, family: str) -> None:
        """Show what is being measured."""
        self._progress.update(self._task, description=f"session {step.session + 1}: {family} on {step.arm}")

    def advanced(self, steps: int, seconds_left: float) -> None:
        """Move the bar."""
        again = f", {self._repeats} repeated" if self._repeats else ""
        self._progress.update(self._task, advance=steps, left=_left(seconds_left) + again)

    def repeated(self, takes: int) -> None:
        """Count the slices that were repeated."""
        self._repeats += takes

    def end(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def _left(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d} left"


def progress(console: Console, quiet: bool) -> Observer:
    """Return a bar for a terminal, lines for anything else, silence for --json."""
    if quiet:
        return Observer()
    return Bar(console) if console.is_terminal else Lines(console)
