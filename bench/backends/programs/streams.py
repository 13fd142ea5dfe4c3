"""Programs connected by pipes: run one to its end, or keep one open and exchange data with it.

A backend starts a program on three descriptors; reading them and taking stamps is the same for all backends.
Every stamp is taken right after the system call that it belongs to has returned.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.backends.base import BackendError, Completed

CHUNK = 1 << 16


class Child(Protocol):
    """A started program. `pidfd` becomes readable when it ends."""

    pid: int
    pidfd: int

    def wait(self) -> int:
        """Reap it and return its exit code, 128 + signal for a death by signal. May be called again."""

    def kill(self) -> None:
        """Kill it, and what it started if the backend can find that. Does nothing if it has ended."""


Launch = Callable[[int, int, int], Child]
"""Starts a program on (stdin, stdout, stderr). The caller keeps its descriptors."""


def pipe() -> tuple[int, int]:
    """Return a close-on-exec pipe (read, write) with both ends above 2, because a child's dup3(x, x)
    fails."""
    read, write = os.pipe2(os.O_CLOEXEC)
    return above_stdio(read), above_stdio(write)


def above_stdio(descriptor: int) -> int:
    """Return `descriptor`, moved above 2 if necessary (this process may run with its stdio closed)."""
    if descriptor > 2:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return moved


def close_all(*descriptors: int) -> None:
    """Close each descriptor that is not -1."""
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def run(
    launch: Launch,
    argv: Sequence[str],
    stdin: bytes,
    timeout_s: float,
    started: Callable[[], None] | None = None,
) -> Completed:
    """Start `argv` by `launch`, feed it `stdin`, collect both outputs, and return when it has ended.

    Output that a daemonised grandchild writes later is not waited for. After `timeout_s` the program is
    killed and BackendError raised.
    """
    in_read, in_write = pipe()
    out_read, out_write = pipe()
    err_read, err_write = pipe()
    try:
        start_ns = time.monotonic_ns()
        try:
            child = launch(in_read, out_write, err_write)
        finally:
            close_all(in_read, out_write, err_write)
        exchange = _Exchange(child, in_write, out_read, err_read, stdin)
        in_write = -1
        if not exchange.to_the_end(time.monotonic() + timeout_s):
            child.kill()
            child.wait()
            raise BackendError(
                f"exec {argv[0]}: still running after {timeout_s:g} s; killed. Its last words: "
                f"{exchange.tail()}"
            )
        return Completed(
            argv=tuple(argv),
            exit_code=child.wait(),
            stdout=bytes(exchange.stdout),
            stderr=bytes(exchange.stderr),
            start_ns=start_ns,
            end_ns=exchange.end_ns,
        )
    finally:
        close_all(in_write, out_read, err_read)


class _Exchange:
    """Serves one program's three pipes until it ends. Owns and closes `stdin_fd`."""

    def __init__(self, child: Child, stdin_fd: int, stdout_fd: int, stderr_fd: int, stdin: bytes) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.end_ns = 0
        self._child = child
        self._stdin_fd = stdin_fd
        self._left = memoryview(stdin)
        self._outputs = {stdout_fd: self.stdout, stderr_fd: self.stderr}
        self._poll = select.poll()
        self._poll.register(child.pidfd, select.POLLIN)
        for descriptor in self._outputs:
            self._poll.register(descriptor, select.POLLIN)
            os.set_blocking(descriptor, False)
        os.set_blocking(stdin_fd, False)
        self._poll.register(stdin_fd, select.POLLOUT)
        self._feed()

    def to_the_end(self, deadline: float) -> bool:
        """Serve until the program has ended; return False if the deadline came first."""
        while True:
            left_s = deadline - time.monotonic()
            events = dict(self._poll.poll(max(0.0, left_s) * 1000))
            if not events:
                self._finish_input()
                return False
            if self._child.pidfd in events:
                self.end_ns = time.monotonic_ns()
                for descriptor in self._outputs:
                    while self._take(descriptor):
                        pass
                self._finish_input()
                return True
            for descriptor in events:
                if descriptor == self._stdin_fd:
                    self._feed()
                else:
                    self._take(descriptor)

    def tail(self) -> str:
        """Return the end of the output, for an error message."""
        return last_words(bytes(self.stderr) or bytes(self.stdout))

    def _feed(self) -> None:
        try:
            while self._left:
                self._left = self._left[os.write(self._stdin_fd, self._left[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            pass
        self._finish_input()

    def _finish_input(self) -> None:
        if self._stdin_fd >= 0:
            self._poll.unregister(self._stdin_fd)
            os.close(self._stdin_fd)
            self._stdin_fd = -1

    def _take(self, descriptor: int) -> bool:
        """Read once; return False if there is nothing to read, now or ever."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            with contextlib.suppress(KeyError):
                self._poll.unregister(descriptor)
        self._outputs[descriptor] += data
        return bool(data)


class PipeChannel:
    """A long-lived program connected by pipes (`bench.backends.base.Channel`)."""

    def __init__(self, launch: Launch, argv: Sequence[str]) -> None:
        in_read, self._stdin = pipe()
        self._stdout, out_write = pipe()
        self._stderr = os.memfd_create("stderr", os.MFD_CLOEXEC)
        self._name = argv[0]
        self._held = bytearray()
        self._closed = False
        try:
            self._child = launch(in_read, out_write, self._stderr)
        except BaseException:
            close_all(self._stdin, self._stdout, self._stderr)
            raise
        finally:
            close_all(in_read, out_write)
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._readable = select.poll()
        self._readable.register(self._stdout, select.POLLIN)

    def write(self, data: bytes) -> None:
        """Send all of `data`; BackendError when the program has ended or does not read for a minute."""
        self._require_open("write to")
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._stdin, left) :]
            except BlockingIOError:
                if not select.select([], [self._stdin], [], 60)[1]:
                    raise BackendError(f"write to {self._name}: it has not read its input for 60 s") from None
            except OSError as error:
                raise BackendError(f"write to {self._name}: it has ended; {self._words()}") from error

    def read_until(self, marker: bytes, timeout_s: float) -> bytes:
        """Return the output up to and including `marker`; BackendError on end of file or timeout."""
        self._require_open("read from")
        deadline = time.monotonic() + timeout_s
        searched = 0
        while (at := self._held.find(marker, searched)) < 0:
            searched = max(0, len(self._held) - len(marker) + 1)
            if not self._readable.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise BackendError(
                    f"read from {self._name}: no {marker!r} within {timeout_s:g} s; {self._words()}"
                )
            data = os.read(self._stdout, CHUNK)
            if not data:
                raise BackendError(f"read from {self._name}: it has ended; {self._words()}")
            self._held += data
        end = at + len(marker)
        taken = bytes(self._held[:end])
        del self._held[:end]
        return taken

    def close(self) -> None:
        """End the program and reap it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._child.kill()
        self._child.wait()
        close_all(self._stdin, self._stdout, self._stderr)

    def _require_open(self, operation: str) -> None:
        """Refuse a closed channel: the number of its descriptor may belong to another file by now."""
        if self._closed:
            raise BackendError(f"{operation} {self._name}: the channel is closed; open another one")

    def _words(self) -> str:
        printed = read_memfd(self._stderr) or bytes(self._held)
        return f"its last words: {last_words(printed)}"


def read_memfd(descriptor: int) -> bytes:
    """Return the last 4 KiB written to a memfd."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, 4096, max(0, size - 4096))


def last_words(printed: bytes) -> str:
    """Return the last three lines of `printed`, for an error message."""
    lines = printed.decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "(none)"
