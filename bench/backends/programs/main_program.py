"""The standard streams of an instance's main program, and the moment its first byte arrives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time

from bench.backends.base import BackendError
from bench.backends.programs.streams import CHUNK, above_stdio, close_all, last_words, pipe, read_memfd

FIRST_OUTPUT_TIMEOUT_S = 60.0
_PIPE_BYTES = 1 << 20


class MainStreams:
    """Descriptors of the main program: empty input, output awaited or dropped, errors kept.

    With `until_output` the output is a pipe. Output after the first byte is read and dropped whenever the
    instance is used. The pipe holds 1 MiB in between, so that no thread has to read it.
    """

    def __init__(self, until_output: bool) -> None:
        self.until_output = until_output
        self._null = above_stdio(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        self._errors = above_stdio(os.memfd_create("stderr", os.MFD_CLOEXEC))
        self._read, self._write = pipe() if until_output else (-1, -1)
        if until_output:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """The program's stdin, stdout and stderr."""
        return self._null, self._null if self._read < 0 else self._write, self._errors

    def program_has_them(self) -> None:
        """Close our copy of the pipe's write end, so that the program's end is noticed."""
        close_all(self._write)
        self._write = -1

    def first_output(self, what: str, timeout_s: float = FIRST_OUTPUT_TIMEOUT_S) -> int:
        """Return the host's stamp of the first byte, taken right after read() returned.

        Raises BackendError, which names `what`, if the program ends first or prints nothing in `timeout_s`.
        """
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            raise BackendError(f"start {what}: it printed nothing in {timeout_s:g} s; {self.last_words()}")
        data = os.read(self._read, CHUNK)
        stamp = time.monotonic_ns()
        if not data:
            raise BackendError(f"start {what}: it ended before it printed anything; {self.last_words()}")
        os.set_blocking(self._read, False)
        return stamp

    def drain(self) -> None:
        """Drop the output since then, so that the program never blocks."""
        if self._read >= 0:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._read, CHUNK):
                    pass

    def last_words(self) -> str:
        """Return the end of what the program wrote to its standard error, for an error message."""
        return f"its last words: {last_words(read_memfd(self._errors))}"

    def close(self) -> None:
        """Close all descriptors. Idempotent."""
        close_all(self._null, self._errors, self._read, self._write)
        self._null = self._errors = self._read = self._write = -1
