"""Host end of the guest agent: many programs over one socket, without a thread of its own.

Whoever waits for something reads the socket and hands on what belongs to others (leader and followers), so an
idle VM costs this process nothing and a waiting caller is woken by the kernel, not by a relay thread.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from vm.errors import GuestError, GuestTimeout, VmError
from vm.framing import (
    WINDOW,
    Decoder,
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

CONSOLE_KEPT = 16384
STDIN_CHUNK = 32768


class Stream:
    """State of one program as the host knows it. Fields are changed under the client's lock only."""

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
        """The program ended, or never began."""
        return self.exit is not None or self.errno is not None


class AgentClient:
    """Speaks to one guest over a connected stream socket. Safe to use from several threads.

    `console` is an optional second socket; what it says is kept (its last 16 KiB) for error messages.
    """

    def __init__(
        self, agent: socket.socket, console: socket.socket | None = None, name: str = "guest"
    ) -> None:
        self._agent, self._console, self._name = agent, console, name
        self._decoder = Decoder()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._reading = False
        self._send_lock = threading.Lock()
        self._lost: str | None = None
        self._pongs: dict[int, tuple[tuple[int, ...], int]] = {}
        self.hello: tuple[int, ...] | None = None
        self.hello_ns = 0
        self.init_ns = 0
        self._console_text = bytearray()

    def console_text(self) -> str:
        """The last of what the guest's console said."""
        return self._console_text.decode(errors="replace")

    def wait_hello(self, timeout_s: float) -> tuple[int, ...]:
        """Guest clocks at hello: boot clock now, boot clock at the agent's main(), wall clock; ns."""
        self._wait(lambda: self.hello is not None, timeout_s, "hello of the agent")
        assert self.hello is not None
        return self.hello

    def ping(self, timeout_s: float = 10.0, wake: bool = False) -> tuple[int, int, int, int]:
        """One round trip: (host ns sent, guest boot clock ns, guest wall clock ns, host ns received).

        With `wake` the guest first takes our wall clock and 32 fresh random bytes, as needed after a restore.
        """
        with self._lock:
            channel = self._take_channel()
        body = struct.pack("<q", time.time_ns()) + os.urandom(32) if wake else b""
        sent = time.monotonic_ns()
        self._send(Frame(Type.WAKE if wake else Type.PING, channel, body))
        self._wait(lambda: channel in self._pongs, timeout_s, "answer of the agent")
        (boot, wall), received = self._pongs.pop(channel)
        return sent, boot, wall, received

    def spawn(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str = "/") -> Stream:
        """Send a program off; does not wait. Its output comes by `read` and `wait_exit`."""
        body = spawn_body(argv, env, cwd)
        with self._lock:
            stream = Stream(self._take_channel(), argv)
            self._streams[stream.channel] = stream
        self._send(Frame(Type.SPAWN, stream.channel, body))
        return stream

    def write(self, stream: Stream, data: bytes, timeout_s: float | None = None) -> None:
        """Send all of `data` to the program's standard input; GuestError when it has ended."""
        view = memoryview(data)
        while view:
            self._wait(lambda: stream.stdin_room > 0 or stream.over, timeout_s, f"stdin of {stream.argv[0]}")
            with self._lock:
                self._check_writable(stream)
                part = view[: min(stream.stdin_room, STDIN_CHUNK)]
                stream.stdin_room -= len(part)
            self._send(Frame(Type.STDIN, stream.channel, bytes(part)))
            view = view[len(part) :]

    def end_input(self, stream: Stream) -> None:
        """Close the program's standard input once all of it was written."""
        if not stream.over:
            self._send(Frame(Type.STDIN_END, stream.channel))

    def kill(self, stream: Stream, signal_number: int) -> None:
        """Signal the program's process group; nothing when it has ended."""
        if not stream.over:
            self._send(Frame(Type.KILL, stream.channel, struct.pack("<i", signal_number)))

    def read(self, stream: Stream, timeout_s: float | None, stderr: bool = False) -> bytes:
        """What the stream has, at least one byte; b"" at its end. GuestTimeout when nothing comes."""
        buffer = stream.output[stderr]
        self._wait(lambda: bool(buffer) or stream.over, timeout_s, f"output of {stream.argv[0]}")
        with self._lock:
            data = bytes(buffer)
            buffer.clear()
            grant = self._grant(stream, stderr, len(data))
        self._raise_failed(stream)
        self._send_all(grant)
        return data

    def communicate(self, stream: Stream, stdin: bytes, timeout_s: float) -> tuple[Exit, bytes, bytes]:
        """Feed, collect and wait. On a timeout the program is killed and GuestTimeout raised."""
        deadline = time.monotonic() + timeout_s
        feeder = memoryview(stdin)
        collected = (bytearray(), bytearray())
        closed = False
        while True:
            if not feeder and not closed:
                self.end_input(stream)
                closed = True
            if feeder and stream.stdin_room and not stream.over:
                part = feeder[: min(stream.stdin_room, STDIN_CHUNK)]
                self.write(stream, bytes(part))
                feeder = feeder[len(part) :]
                continue
            self._collect(stream, collected)
            if stream.over and not any(stream.output):
                break
            self._wait(
                lambda: any(stream.output) or stream.over or (bool(feeder) and stream.stdin_room > 0),
                deadline - time.monotonic(),
                f"end of {stream.argv[0]}",
                stream,
            )
        self.forget(stream)
        self._raise_failed(stream)
        assert stream.exit is not None
        return stream.exit, bytes(collected[0]), bytes(collected[1])

    def wait_first_output(self, stream: Stream, timeout_s: float) -> int:
        """Host ns at which the first byte of standard output arrived; GuestError when the program ended silent."""
        self._wait(
            lambda: stream.first_output_ns is not None or stream.over,
            timeout_s,
            f"output of {stream.argv[0]}",
        )
        self._raise_failed(stream)
        if stream.first_output_ns is None:
            raise GuestError(f"first output of {stream.argv[0]} in {self._name}: it ended without any")
        return stream.first_output_ns

    def wait_exit(self, stream: Stream, timeout_s: float | None) -> Exit:
        """How the program ended. Output that nobody reads holds it up once the window is full."""
        self._wait(lambda: stream.over, timeout_s, f"end of {stream.argv[0]}")
        self._raise_failed(stream)
        assert stream.exit is not None
        return stream.exit

    def discard(self, stream: Stream, timeout_s: float) -> None:
        """Kill the program and forget it, throwing its output away. A lost guest is no error here."""
        deadline = time.monotonic() + timeout_s
        try:
            self.kill(stream, 9)
            while not stream.over:
                self._collect(stream, (bytearray(), bytearray()))
                self._wait(
                    lambda: any(stream.output) or stream.over,
                    deadline - time.monotonic(),
                    f"end of {stream.argv[0]}",
                )
        except GuestError:
            pass
        self.forget(stream)

    def forget(self, stream: Stream) -> None:
        """Drop the bookkeeping of an ended program."""
        with self._lock:
            self._streams.pop(stream.channel, None)

    def power_off(self) -> None:
        """Ask the guest to end; its sockets close when it did."""
        self._send(Frame(Type.POWER_OFF))

    def wait_closed(self, timeout_s: float) -> None:
        """Return once the guest's side has gone away; GuestTimeout when it does not."""
        try:
            self._wait(lambda: False, timeout_s, "power-off")
        except GuestTimeout:
            raise
        except GuestError:
            return

    def close(self) -> None:
        """Close both sockets; callers that wait get GuestError. Idempotent."""
        self._lost = self._lost or "the connection was closed"
        for sock in (self._agent, self._console):
            if sock is not None:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                sock.close()

    # -- sending

    def _take_channel(self) -> int:
        channel = self._next
        self._next = self._next % 0x7FFFFFFF + 1
        return channel

    def _send(self, frame: Frame) -> None:
        data = encode(frame)
        with self._send_lock:
            try:
                self._agent.sendall(data)
            except OSError as error:
                raise GuestError(
                    f"message to {self._name}: {error.strerror}; {self._last_words()}"
                ) from error

    def _send_all(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._send(frame)

    def _check_writable(self, stream: Stream) -> None:
        if stream.over:
            raise GuestError(f"stdin of {stream.argv[0]} in {self._name}: the program has ended")

    def _grant(self, stream: Stream, stderr: bool, count: int) -> list[Frame]:
        stream.taken[stderr] += count
        if stream.over or stream.taken[stderr] < WINDOW // 2:
            return []
        count, stream.taken[stderr] = stream.taken[stderr], 0
        return [Frame(Type.GRANT, stream.channel, grant_body(stderr, count))]

    def _collect(self, stream: Stream, into: tuple[bytearray, bytearray]) -> None:
        frames = []
        with self._lock:
            for stderr in (False, True):
                data = stream.output[stderr]
                into[stderr].extend(data)
                frames += self._grant(stream, stderr, len(data))
                data.clear()
        self._send_all(frames)

    # -- waiting and reading

    def _wait(
        self, ready: Callable[[], bool], timeout_s: float | None, what: str, stream: Stream | None = None
    ) -> None:
        """Until `ready()`: read the socket, or wait for the thread that does."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            while not ready():
                if self._lost:
                    raise GuestError(f"{what} in {self._name}: {self._lost}; {self._last_words()}")
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                if self._reading:
                    self._changed.wait(left)
                else:
                    self._read_once(left)
            else:
                return
        if stream is not None:
            self.discard(stream, 5.0)
        raise GuestTimeout(f"{what} in {self._name}: nothing for {timeout_s:.1f} s; {self._last_words()}")

    def _read_once(self, timeout_s: float | None) -> None:
        """Read what there is, as the one reader; called and left with the lock held."""
        self._reading = True
        self._lock.release()
        data: bytes | None = None
        text = b""
        try:
            watched = [s for s in (self._agent, self._console) if s is not None and s.fileno() >= 0]
            readable = select.select(watched, [], [], timeout_s)[0]
            now = time.monotonic_ns()
            if self._console in readable and self._console is not None:
                text = self._console.recv(4096)
            if self._agent in readable:
                data = self._agent.recv(1 << 18)
        except (OSError, ValueError) as error:
            data, self._lost = None, f"the connection broke ({error})"
        finally:
            self._lock.acquire()
            self._reading = False
            self._changed.notify_all()
        self._take_console(text, readable if self._lost is None else [], now if self._lost is None else 0)
        if data == b"":
            self._lost = self._lost or "the guest went away"
        elif data:
            for frame in self._decoder.feed(data):
                self._dispatch(frame, now)

    def _take_console(self, text: bytes, readable: list[socket.socket], now: int) -> None:
        if self._console in readable and not text:
            self._console = None
        self._console_text += text
        if not self.init_ns and b"ninetynine: init" in self._console_text:
            self.init_ns = now
        del self._console_text[:-CONSOLE_KEPT]

    def _dispatch(self, frame: Frame, now: int) -> None:
        stream = self._streams.get(frame.channel)
        if frame.type is Type.HELLO:
            self.hello, self.hello_ns = numbers(frame.body), now
        elif frame.type is Type.PONG:
            self._pongs[frame.channel] = (numbers(frame.body), now)
        elif stream is None:
            return
        elif frame.type is Type.STDOUT or frame.type is Type.STDERR:
            stream.output[frame.type is Type.STDERR].extend(frame.body)
            if stream.first_output_ns is None and frame.type is Type.STDOUT:
                stream.first_output_ns = now
        elif frame.type is Type.GRANTED:
            stream.stdin_room += number(frame.body)
        elif frame.type is Type.EXIT:
            stream.exit, stream.end_ns = exit_of(frame.body), now
        elif frame.type is Type.FAILED:
            stream.errno, stream.end_ns = number(frame.body), now

    def _raise_failed(self, stream: Stream) -> None:
        if stream.errno is not None:
            self.forget(stream)
            raise GuestError(
                f"start {stream.argv[0]} in {self._name}: {os.strerror(stream.errno)}; is it in the image?"
            )

    def _last_words(self) -> str:
        lines = [line for line in self.console_text().splitlines() if line.strip()]
        return "its console ended with: " + " | ".join(lines[-3:]) if lines else "its console said nothing"


__all__ = ["AgentClient", "Stream", "VmError"]
