"""exec() and open() of instances whose programs are connected to this process by pipes."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Sequence

from bench.backends.base import Channel, Completed, StartRecord
from bench.backends.programs.main_program import MainStreams
from bench.backends.programs.streams import Child, PipeChannel, run


class PipedPrograms(abc.ABC):
    """Base class of such instances, which differ only in how they start a program on three descriptors."""

    def __init__(self) -> None:
        self._channels: list[PipeChannel] = []
        self.stopped = False

    def exec(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 120.0) -> Completed:
        """Run a program beside the main one, to its end."""
        self._drain()
        return run(lambda *fds: self._exec(argv, fds), argv, stdin, timeout_s)

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a long-lived program."""
        channel = PipeChannel(lambda *fds: self._exec(argv, fds), argv)
        self._channels.append(channel)
        return channel

    def stop(self) -> None:
        """End the instance and free everything it held. Idempotent."""
        if not self.stopped:
            self.stopped = True
            with contextlib.ExitStack() as stack:
                self._release(stack)

    @abc.abstractmethod
    def _release(self, stack: contextlib.ExitStack) -> None:
        """Push onto `stack` what stop() has to do; what is pushed last is done first."""

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


class StreamedPrograms(PipedPrograms):
    """Base class of those whose main program is connected to this process as well, by `_streams`."""

    _streams: MainStreams

    def _record(
        self, requested_ns: int, ready_ns: int, phases: Sequence[tuple[str, int]], what: str
    ) -> StartRecord:
        """Return the record of a start, with its first output if that is awaited. `what` is for messages."""
        first_ns = None
        if self._streams.until_output:
            first_ns = self._streams.first_output(what)
            phases = [*phases, ("program", first_ns - ready_ns)]
        return StartRecord(
            requested_ns=requested_ns, ready_ns=ready_ns, first_output_ns=first_ns, phases=tuple(phases)
        )

    def _drain(self) -> None:
        self._streams.drain()

    def _release(self, stack: contextlib.ExitStack) -> None:
        stack.callback(self._streams.close)
        stack.callback(self._close_channels)
