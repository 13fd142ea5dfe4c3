"""The sockets to one guest: send and receive frames, and wait for a condition, without a thread.

One waiting caller reads the socket and dispatches frames for all (leader and followers). So an idle VM costs
this process nothing, and a waiting caller is woken by the kernel, not by a relay thread.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Callable

import msgspec

from vm.errors import GuestError, GuestTimeoutError
from vm.framing import Decoder, Frame, encode

CONSOLE_KEPT = 16384
INIT_MARK = b"ninetynine: init"
TELLING = ("Kernel panic", "ninetynine: ", "Out of memory")
"""Parts of console lines that explain a failure better than the last lines do."""


class _Received(msgspec.Struct):
    """The result of one read; None if a socket had nothing, b"" if it has ended."""

    at_ns: int = 0
    agent: bytes | None = None
    console: bytes | None = None
    failure: str | None = None


class Link:
    """One guest's connection. Safe to use from several threads.

    on_frame(frame, host_ns) is called with `lock` held. console: an optional second socket; its last 16 KiB
    are kept for error messages, and the arrival of the agent's first line is recorded (`init_ns`).
    """

    def __init__(
        self,
        agent: socket.socket,
        console: socket.socket | None,
        name: str,
        on_frame: Callable[[Frame, int], None],
    ) -> None:
        self.name, self.lock, self.init_ns = name, threading.Lock(), 0
        self._agent, self._console, self._on_frame = agent, console, on_frame
        self._decoder = Decoder()
        self._changed = threading.Condition(self.lock)
        self._send_lock = threading.Lock()
        self._reading = False
        self._lost: str | None = None
        self._console_text = bytearray()

    def send(self, *frames: Frame) -> None:
        """Send frames in order. GuestError if the guest is gone."""
        data = b"".join(map(encode, frames))
        with self._send_lock:
            try:
                self._agent.sendall(data)
            except OSError as error:
                raise GuestError(f"message to {self.name}: {error.strerror}; {self.last_words()}") from error

    def wait(self, ready: Callable[[], bool], timeout_s: float | None, what: str) -> None:
        """Wait until `ready()`, which is called with the lock held.

        what: names the condition in errors: GuestTimeoutError after `timeout_s`, GuestError if the guest is
        gone.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        looked = False
        with self.lock:
            while not ready():
                if self._lost:
                    raise GuestError(f"{what} in {self.name}: {self._lost}; {self.last_words()}")
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if left == 0 and looked:  # a timeout of 0 still takes what has come
                    raise GuestTimeoutError(
                        f"{what} in {self.name}: nothing for {timeout_s:.1f} s; {self.last_words()}"
                    )
                looked = True
                if self._reading:
                    self._changed.wait(left)
                else:
                    self._lead(left)

    def console_text(self) -> str:
        """Return the last 16 KiB of the guest's console."""
        return self._console_text.decode(errors="replace")

    def last_words(self) -> str:
        """Return the console's most telling or last lines, for an error message."""
        lines = [line.strip() for line in self.console_text().splitlines() if line.strip()]
        lines = [line for line in lines if line != INIT_MARK.decode()]
        telling = [line for line in lines if any(mark in line for mark in TELLING)] or lines
        return "its console ended with: " + " | ".join(telling[-3:]) if lines else "its console said nothing"

    def close(self) -> None:
        """Close both sockets; waiting callers get GuestError. Idempotent."""
        self._lost = self._lost or "the connection was closed"
        for sock in (self._agent, self._console):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()

    def _lead(self, timeout_s: float | None) -> None:
        """Read once, as the only reader. The lock is held on entry and return, not while blocked."""
        self._reading = True
        self.lock.release()
        try:
            received = self._receive(timeout_s)
        finally:
            self.lock.acquire()
            self._reading = False
            self._changed.notify_all()
        self._take_console(received)
        if received.agent:
            try:
                for frame in self._decoder.feed(received.agent):
                    self._on_frame(frame, received.at_ns)
            except GuestError as error:
                self._lost = self._lost or str(error)
        elif received.agent == b"":
            self._lost = self._lost or "the guest went away"
        self._lost = self._lost or received.failure

    def _receive(self, timeout_s: float | None) -> _Received:
        received = _Received()
        try:
            poll = select.poll()
            poll.register(self._agent, select.POLLIN)
            if self._console is not None:
                poll.register(self._console, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(None if timeout_s is None else math.ceil(timeout_s * 1000))}
            received.at_ns = time.monotonic_ns()
            if self._console is not None and self._console.fileno() in ready:
                received.console = self._console.recv(4096)
            if self._agent.fileno() in ready:
                received.agent = self._agent.recv(1 << 18)
        except (OSError, ValueError) as error:  # ValueError: another thread closed the socket
            received.failure = f"the connection broke ({error})"
        return received

    def _take_console(self, received: _Received) -> None:
        if received.console == b"":
            self._console = None
        elif received.console:
            self._console_text += received.console
            if not self.init_ns and INIT_MARK in self._console_text:
                self.init_ns = received.at_ns
            del self._console_text[:-CONSOLE_KEPT]
