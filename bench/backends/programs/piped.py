"""exec() and open() of instances whose programs are connected to this process by pipes."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Sequence

from bench.backends.base import Channel, Completed
from bench.backends.programs.streams import Child, PipeChannel, run


class PipedPrograms(abc.ABC):
    """Base class of such instances, which differ only in how they start a program on three descriptors."""

    def __init__(self) -> None:
        self._channels: list[PipeChannel] = []

    def exec(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 120.0) -> Completed:
        """Run a program beside the main one, to its end."""
        self._drain()
        return run(lambda *fds: self._exec(argv, fds), argv, stdin, timeout_s)

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a long-lived program."""
        channel = PipeChannel(lambda *fds: self._exec(argv, fds), argv)
        self._channels.append(channel)
        return channel

    @abc.abstractmethod
    def _exec(self, argv: Sequence[str], stdio: tuple[int, int, int]) -> Child:
        """Start a program on (stdin, stdout, stderr); BackendError when it does not start."""

    @abc.abstractmethod
    def _drain(self) -> None:
        """Drop what the main program has printed, so that it never blocks."""

    def _close_channels(self) -> None:
        """Close all, latest first, even if one fails; the error is raised at the end."""
        with contextlib.ExitStack() as stack:
            for channel in self._channels:
                stack.callback(channel.close)
