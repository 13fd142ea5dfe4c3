"""A fake guest: the agent's side of the protocol in Python, for tests of the host's side.

guest = FakeGuest({"echo": lambda program: program.say(" ".join(program.argv[1:]).encode())})
harness = Harness(root, cache, "tcg", driver=Domains("test:///default", root), connect=guest.connect)
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable

from vm.client import AgentClient
from vm.domain import VmFiles
from vm.framing import WINDOW, Decoder, Frame, Type, encode

CHUNK = 32756
FAILURE_NOT_FOUND = 2


class FakeProgram:
    """One spawned program. Its handler may print and read; it exits with 0 unless that calls `exit`."""

    def __init__(self, guest: FakeGuest, channel: int, argv: tuple[str, ...]) -> None:
        self._guest, self.channel, self.argv = guest, channel, argv
        self.received = bytearray()
        self.ends_with_input = True
        self.signals: list[int] = []
        self.over = False
        self.credit = [WINDOW, WINDOW]

    def say(self, data: bytes, stderr: bool = False) -> None:
        """Print, without waiting for the host's grants."""
        for at in range(0, len(data), CHUNK):
            part = data[at : at + CHUNK]
            self.credit[stderr] -= len(part)
            self._guest.send(Frame(Type.STDERR if stderr else Type.STDOUT, self.channel, part))

    def exit(self, code: int = 0) -> None:
        """End the program. Idempotent."""
        if not self.over:
            self.over = True
            self._guest.send(Frame(Type.EXIT, self.channel, struct.pack("<iiqq", code, 0, 1, 2)))


Handler = Callable[[FakeProgram], None]


class FakeGuest:
    """Serves any number of connections, each in a thread that ends with its socket.

    programs: handlers by name, called when the program is spawned; one whose name ends in `&` runs until it
    is killed or its input ends. hello: False makes a guest that never boots.
    """

    def __init__(self, programs: dict[str, Handler] | None = None, hello: bool = True) -> None:
        self.programs, self._hello = programs or {}, hello
        self.spawned: dict[int, FakeProgram] = {}
        self.frames: list[Frame] = []
        self._socket: socket.socket | None = None

    def connect(self, _files: VmFiles | None = None, name: str = "fake") -> AgentClient:
        """Return a client connected to this guest."""
        ours, theirs = socket.socketpair()
        self._socket = theirs
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        if self._hello:
            self.say_hello()
        return AgentClient(ours, None, name)

    def say_hello(self) -> None:
        """Say hello, for the first boot or a reboot."""
        self.send(Frame(Type.HELLO, 0, struct.pack("<qqq", 2_000_000, 1_000_000, time.monotonic_ns())))

    def send(self, frame: Frame) -> None:
        """Send a frame to the host."""
        assert self._socket is not None
        self._socket.sendall(encode(frame))

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        assert self._socket is not None
        self._socket.sendall(data)

    def hang_up(self) -> None:
        """Close the connection, as a guest that is switched off."""
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)

    def _serve(self, sock: socket.socket) -> None:
        decoder = Decoder()
        try:
            while data := sock.recv(65536):
                self._handle_all(decoder.feed(data))
        except OSError:
            pass
        finally:
            sock.close()

    def _handle_all(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.frames.append(frame)
            if frame.type in (Type.PING, Type.WAKE):
                body = struct.pack("<qq", time.monotonic_ns(), time.time_ns())
                self.send(Frame(Type.PONG, frame.channel, body))
            elif frame.type is Type.SPAWN:
                self._spawn(frame)
            elif frame.type is Type.POWER_OFF:
                self.hang_up()
            elif frame.channel in self.spawned:
                self._serve_program(self.spawned[frame.channel], frame)

    def _spawn(self, frame: Frame) -> None:
        argc = struct.unpack_from("<H", frame.body)[0]
        argv = tuple(part.decode() for part in frame.body[4:].split(b"\0")[1 : 1 + argc])
        stays = f"{argv[0]}&" in self.programs
        handler = self.programs.get(f"{argv[0]}&" if stays else argv[0])
        if handler is None:
            self.send(Frame(Type.FAILED, frame.channel, struct.pack("<i", FAILURE_NOT_FOUND)))
            return
        program = self.spawned[frame.channel] = FakeProgram(self, frame.channel, argv)
        handler(program)
        if not stays:
            program.exit()

    def _serve_program(self, program: FakeProgram, frame: Frame) -> None:
        if frame.type is Type.STDIN:
            program.received += frame.body
            self.send(Frame(Type.GRANTED, frame.channel, struct.pack("<I", len(frame.body))))
        elif frame.type is Type.STDIN_END:
            if program.ends_with_input:
                program.exit()
        elif frame.type is Type.KILL:
            program.signals.append(struct.unpack("<i", frame.body)[0])
            program.exit(128 + program.signals[-1])
        elif frame.type is Type.GRANT:
            stderr, count = struct.unpack("<II", frame.body)
            program.credit[stderr] += count
