"""What a client holds of a program's stdio."""

from __future__ import annotations


class Attachment:
    """Made by Streams.attach() and Execs.start(). The API pumps it, in both directions at once:

    `async for stream, data in attachment` yields output (stream 1 stdout or terminal, 2 stderr) until the
    program has ended and all is read, the detach keys were typed, or close(). Output that is not fetched holds
    the program back. For input: `await write(data)` for each piece, `await close_stdin()` when the client sends
    no more, and in any case `await close()` at last.
    """

    tty: bool
    detached: bool
    """Whether the client typed the detach keys."""

    def __aiter__(self) -> Attachment:
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Hand on input, in the program's pace; before its start it waits for that. Never fails."""
        raise NotImplementedError

    async def close_stdin(self) -> None:
        """The client sends no more: the program reads its end, unless others may still attach (StdinOnce)."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go, wherever it stands. Idempotent."""
        raise NotImplementedError
