"""Host end of the guest agent: many programs over one link, each with its own flow control."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Mapping, Sequence

from vm.errors import GuestError, GuestTimeoutError
from vm.framing import (
    WINDOW,
    Exit,
    Frame,
    Type,
    encode,
    exit_of,
    grant_body,
    number,
    numbers,
    spawn_body,
)
from vm.link import Link

STDIN_CHUNK = 32768
ANSWER_S = 5.0  # for requests that a running agent answers at once
KILLED = Exit(128 + signal.SIGKILL, 0, 0)


class Stream:
    """The state of one program as the host knows it. Changed only with the link's lock held."""

    def __init__(self, channel: int, argv: Sequence[str]) -> None:
        self.channel = channel
        self.argv = tuple(argv)
        self.output = (bytearray(), bytearray())
        self.taken = [0, 0]
        self.stdin_room = WINDOW
        self.exit: Exit | None = None
        self.errno: int | None = None
        self.first_output_ns: int | None = None
        self.end_ns: int | None = None

    @property
    def over(self) -> bool:
        """Whether the program has ended, or could not start."""
        return self.exit is not None or self.errno is not None

    @property
    def readable(self) -> bool:
        """Whether there is output that was not taken yet."""
        return bool(self.output[0] or self.output[1])


class AgentClient:
    """Speaks to one guest over a connected stream socket. Safe to use from several threads."""

    def __init__(
        self, agent: socket.socket, console: socket.socket | None = None, name: str = "guest"
    ) -> None:
        self.link = Link(agent, console, name, self._dispatch)
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._pongs: dict[int, tuple[tuple[int, ...], int]] = {}
        self.hello: tuple[int, ...] | None = None
        self.hello_ns = 0

    def wait_hello(self, timeout_s: float) -> tuple[int, ...]:
        """Return guest clocks at hello: boot clock, boot clock at the agent's main(), wall clock; ns."""
        self.link.wait(lambda: self.hello is not None, timeout_s, "hello of the agent")
        assert self.hello is not None
        return self.hello

    def ping(self, timeout_s: float = 10.0, wake: bool = False) -> tuple[int, int, int, int]:
        """Make a round trip: (host ns sent, guest boot clock ns, guest wall clock ns, host ns received).

        With `wake` the guest first sets its clock to ours and takes 32 fresh random bytes, for a restore.
        """
        with self.link.lock:
            channel = self._take_channel()
        body = struct.pack("<q", time.time_ns()) + os.urandom(32) if wake else b""
        sent = time.monotonic_ns()
        self.link.send(Frame(Type.WAKE if wake else Type.PING, channel, body))
        self.link.wait(lambda: channel in self._pongs, timeout_s, "answer of the agent")
        (boot, wall), received = self._pongs.pop(channel)
        return sent, boot, wall, received

    def spawn(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str = "/") -> Stream:
        """Start a program without waiting for it. VmError if argv is too long for one message (64 KiB)."""
        body = spawn_body(argv, env, cwd)
        encode(Frame(Type.SPAWN, 0, body))  # refuse it before a channel is taken
        with self.link.lock:
            stream = Stream(self._take_channel(), argv)
            self._streams[stream.channel] = stream
        self.link.send(Frame(Type.SPAWN, stream.channel, body))
        return stream

    def write(self, stream: Stream, data: bytes, timeout_s: float | None = None) -> None:
        """Send all of `data` to the program's standard input; GuestError if it has ended."""
        view = memoryview(data)
        while view:
            self.link.wait(
                lambda: stream.stdin_room > 0 or stream.over, timeout_s, f"standard input of {stream.argv[0]}"
            )
            view = view[self._write_some(stream, view) :]

    def end_input(self, stream: Stream) -> None:
        """Close the program's standard input, after everything written to it."""
        if not stream.over:
            self.link.send(Frame(Type.STDIN_END, stream.channel))

    def kill(self, stream: Stream, signal_number: int) -> None:
        """Signal the program's process group; no-op if it has ended."""
        if not stream.over:
            self.link.send(Frame(Type.KILL, stream.channel, struct.pack("<i", signal_number)))

    def read(self, stream: Stream, timeout_s: float | None, stderr: bool = False) -> bytes:
        """Return available output, at least one byte; b"" at its end. GuestTimeoutError if nothing comes."""
        buffer = stream.output[stderr]
        self.link.wait(lambda: bool(buffer) or stream.over, timeout_s, f"output of {stream.argv[0]}")
        data = self._take(stream, stderr)
        self._raise_failed(stream)
        return data

    def communicate(self, stream: Stream, stdin: bytes, timeout_s: float) -> tuple[Exit, bytes, bytes]:
        """Send input, collect output and wait. The program is killed if that fails or takes too long."""
        try:
            collected = self._exchange(stream, memoryview(stdin), time.monotonic() + timeout_s)
        except GuestTimeoutError as error:
            self.discard(stream, ANSWER_S)
            raise GuestTimeoutError(
                f"{stream.argv[0]} in {self.link.name}: it still runs after {timeout_s:g} s;"
                f" {self._liveness()}"
            ) from error
        except BaseException:
            self.discard(stream, ANSWER_S)
            raise
        self._forget(stream)
        self._raise_failed(stream)
        assert stream.exit is not None
        return stream.exit, bytes(collected[0]), bytes(collected[1])

    def wait_first_output(self, stream: Stream, timeout_s: float) -> int:
        """Return host ns of the first byte of standard output; GuestError if the program ends without."""
        what = f"first output of {stream.argv[0]}"
        self.link.wait(lambda: stream.first_output_ns is not None or stream.over, timeout_s, what)
        self._raise_failed(stream)
        if stream.first_output_ns is None:
            raise GuestError(f"{what} in {self.link.name}: it ended without any")
        return stream.first_output_ns

    def wait_exit(self, stream: Stream, timeout_s: float | None) -> Exit:
        """Wait for the program's end. Unread output blocks the program once the window is full."""
        self.link.wait(lambda: stream.over, timeout_s, f"end of {stream.argv[0]}")
        self._raise_failed(stream)
        assert stream.exit is not None
        return stream.exit

    def discard(self, stream: Stream, timeout_s: float) -> None:
        """Kill the program, drop its output and forget it. A lost guest is not an error here."""
        deadline = time.monotonic() + timeout_s
        try:
            self.kill(stream, signal.SIGKILL)
            while not stream.over:
                left = max(0.0, deadline - time.monotonic())
                self.link.wait(lambda: stream.readable or stream.over, left, f"end of {stream.argv[0]}")
                self._take(stream, False)
                self._take(stream, True)
        except GuestError:
            pass
        self._forget(stream)

    def wait_hello_again(self, argv: Sequence[str], timeout_s: float) -> None:
        """Run a command that reboots the guest, and wait until its agent says hello again."""
        before = self.hello_ns
        self.spawn(argv)
        self.link.wait(lambda: self.hello_ns != before, timeout_s, "hello of the agent")

    def power_off(self) -> None:
        """Ask the guest to power off; its sockets close when it has."""
        self.link.send(Frame(Type.POWER_OFF))

    def wait_closed(self, timeout_s: float) -> None:
        """Return once the guest has closed the connection; GuestTimeoutError if it does not."""
        try:
            self.link.wait(lambda: False, timeout_s, "power-off")
        except GuestTimeoutError:
            raise
        except GuestError:
            return

    def close(self) -> None:
        """Close the link; waiting callers get GuestError. Idempotent."""
        self.link.close()

    def _liveness(self) -> str:
        """Say whether the program hangs, or the whole guest."""
        try:
            self.ping(ANSWER_S)
        except GuestError:
            return f"the guest itself does not answer: {self.link.last_words()}"
        return "the guest itself answers"

    def _take_channel(self) -> int:
        channel = self._next
        self._next = self._next % 0x7FFFFFFF + 1
        return channel

    def _exchange(self, stream: Stream, feed: memoryview, deadline: float) -> tuple[bytearray, bytearray]:
        collected = (bytearray(), bytearray())
        at = 0

        def progress() -> bool:
            return stream.readable or stream.over or (at < len(feed) and stream.stdin_room > 0)

        if not feed:
            self.end_input(stream)
        while not stream.over or stream.readable:
            left = max(0.0, deadline - time.monotonic())
            self.link.wait(progress, left, f"end of {stream.argv[0]}")
            if at < len(feed) and not stream.over:
                at += self._write_some(stream, feed[at:])
                if at == len(feed):
                    self.end_input(stream)
            for stderr in (False, True):
                collected[stderr].extend(self._take(stream, stderr))
        return collected

    def _write_some(self, stream: Stream, view: memoryview) -> int:
        with self.link.lock:
            if stream.over:
                raise GuestError(
                    f"standard input of {stream.argv[0]} in {self.link.name}: the program has ended"
                )
            part = bytes(view[: min(stream.stdin_room, STDIN_CHUNK)])
            stream.stdin_room -= len(part)
        if part:
            self.link.send(Frame(Type.STDIN, stream.channel, part))
        return len(part)

    def _take(self, stream: Stream, stderr: bool) -> bytes:
        """Take the available output and grant the guest as much again, in large steps."""
        with self.link.lock:
            buffer = stream.output[stderr]
            data = bytes(buffer)
            buffer.clear()
            stream.taken[stderr] += len(data)
            grant = 0
            if not stream.over and stream.taken[stderr] >= WINDOW // 2:
                grant, stream.taken[stderr] = stream.taken[stderr], 0
        if grant:
            self.link.send(Frame(Type.GRANT, stream.channel, grant_body(stderr, grant)))
        return data

    def _forget(self, stream: Stream) -> None:
        with self.link.lock:
            self._streams.pop(stream.channel, None)

    def _dispatch(self, frame: Frame, now: int) -> None:
        if frame.type is Type.HELLO:
            if self.hello is not None:  # the guest has rebooted, and its programs are gone
                for lost in self._streams.values():
                    lost.exit, lost.end_ns = lost.exit or KILLED, now
            self.hello, self.hello_ns = numbers(frame.body), now
        elif frame.type is Type.PONG:
            self._pongs[frame.channel] = (numbers(frame.body), now)
        elif (stream := self._streams.get(frame.channel)) is not None:
            _apply(frame, stream, now)

    def _raise_failed(self, stream: Stream) -> None:
        if stream.errno is not None:
            self._forget(stream)
            cause = os.strerror(stream.errno)
            raise GuestError(f"start {stream.argv[0]} in {self.link.name}: {cause}; is it in the image?")


def _apply(frame: Frame, stream: Stream, now: int) -> None:
    """Apply one frame of its channel to a program's state."""
    if frame.type is Type.STDOUT:
        stream.output[0].extend(frame.body)
        stream.first_output_ns = stream.first_output_ns or now
    elif frame.type is Type.STDERR:
        stream.output[1].extend(frame.body)
    elif frame.type is Type.GRANTED:
        stream.stdin_room += number(frame.body)
    elif frame.type is Type.EXIT:
        stream.exit, stream.end_ns = exit_of(frame.body), now
    elif frame.type is Type.FAILED:
        stream.errno, stream.end_ns = number(frame.body), now
