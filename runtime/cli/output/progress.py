"""Progress of layers (from the daemon's lines) and of streams: bars on a terminal, else plain lines."""

from __future__ import annotations

import sys
from typing import Any

from runtime.cli import packages
from runtime.cli.errors import CliError
from runtime.cli.output import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from rich.progress import Progress, TaskID

Message = dict[str, Any]


def failure_of(message: Message) -> CliError | None:
    """Return the error in a line, None without one."""
    detail = message.get("errorDetail") or {}
    text = detail.get("message") or message.get("error")
    return (
        CliError(str(text), int(detail.get("code") or 1) if 0 < int(detail.get("code") or 1) < 256 else 1)
        if text
        else None
    )


def follow(messages: Iterable[Message], *, quiet: bool = False, out: TextIO | None = None) -> list[Message]:
    """Show lines as they come; return those with `aux`. CliError for a line with an error."""
    stream = out or sys.stdout
    shown = SilentProgress() if quiet else BarProgress(stream) if stream.isatty() else PlainProgress(stream)
    extras = []
    with shown:
        for message in messages:
            fault = failure_of(message)
            if fault is not None:
                raise fault
            if message.get("aux") is not None:
                extras.append(message)
            elif message.get("stream") is not None or message.get("status") is not None:
                shown.show(message)
    return extras


class SilentProgress:
    """Shows nothing."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, message: Message) -> None:
        """Show one line."""


class PlainProgress(SilentProgress):
    """A line for each change of state, without how much of a layer is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, message: Message) -> None:
        """Print a line, unless it only reports how much is done."""
        if message.get("stream") is not None:
            self._stream.write(message["stream"])
        elif not (message.get("progressDetail") or message.get("progress")):
            identity = message.get("id")
            self._stream.write((f"{identity}: " if identity else "") + f"{message['status']}\n")
        self._stream.flush()


class BarProgress(SilentProgress):
    """A bar for each layer that moves, with rich."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress = bars(stream)
        self._tasks: dict[str, TaskID] = {}
        self._moved: dict[str, int] = {}  # size of each in bytes

    def __enter__(self) -> BarProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, message: Message) -> None:
        """Move a bar, or print a line above them."""
        identity, detail = message.get("id"), message.get("progressDetail") or {}
        if message.get("stream") is not None:
            self._progress.console.out(message["stream"], end="", highlight=False)
        elif not identity or (identity not in self._tasks and not detail and "progressDetail" not in message):
            text = (f"{identity}: " if identity else "") + message["status"]
            self._progress.console.out(text, highlight=False)
        else:
            if identity not in self._tasks:
                self._tasks[identity] = self._progress.add_task(identity, total=None, moved="")
            self._progress.update(
                self._tasks[identity],
                description=f"{identity}: {message['status']}",
                **self._how_far(identity, message["status"], detail),
            )

    def _how_far(self, identity: str, status: str, detail: dict[str, int]) -> dict[str, Any]:
        """Return what a line changes of its bar, which is full when the layer is done."""
        done, total = detail.get("current"), detail.get("total")
        if done is not None:
            self._moved[identity] = max(done, total or 0)
            return {"completed": done, "total": total or None, "moved": moved(done, total)}
        if any(word in status.lower() for word in _FULL):
            size = self._moved.get(identity)
            return {"completed": size or 1, "total": size or 1, "moved": moved(size, size) if size else ""}
        return {}


_FULL = ("complete", "exists", "pushed", "mounted", "loaded", "done")
"""Words in the status of a layer that is done."""


def moved(done: float, total: float | None) -> str:
    """`12.3MB/60MB`; without a total only the first."""
    return units.size(done, 3) + (f"/{units.size(total, 3)}" if total else "")


def bars(stream: TextIO) -> Progress:
    """Return rich's bars on a stream."""
    packages.activate()
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[moved]}", markup=False),
    )
    return Progress(*columns, console=Console(file=stream), refresh_per_second=8)


def counted(
    pieces: Iterable[bytes], what: str, total: int | None = None, *, quiet: bool = False
) -> Iterator[bytes]:
    """Yield pieces of a stream; on a terminal show how much is done."""
    if quiet or not sys.stderr.isatty():
        yield from pieces
        return
    with bars(sys.stderr) as progress:
        task, done = progress.add_task(what, total=total, moved=""), 0
        for piece in pieces:
            yield piece
            done += len(piece)
            progress.update(task, completed=done, moved=moved(done, total))
        progress.update(task, total=done or 1, completed=done or 1)
