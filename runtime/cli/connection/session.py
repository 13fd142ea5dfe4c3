"""Join our standard streams to a program: its output to ours; our input, signals and window size to it.

A ProgramLink is a connection to a program (run_exchange.py, attach_stream.py). Our input is read only when it
can take more, so that a program that does not read its input fills no memory here.
"""

import posix

from runtime.cli.connection.http import PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import signal as _signal
    from collections.abc import Callable, Iterator
    from typing import Any, Protocol

    from runtime.docker_syntax.detach_keys import KeyMatcher

    class ProgramLink(Protocol):
        """A connection to a program. sock: blocking. rest: bytes that came with the answer's head.

        signals: whether the program can be sent signals.
        """

        sock: _socket.socket
        rest: bytes
        signals: bool

        def split(self, data: bytes) -> Iterator[tuple[int, memoryview]]:
            """Yield the pieces for our standard output (1) and standard error (2)."""

        def input(self, data: bytes) -> bytes:
            """Return what to send for input; b"" is its end. Returns b"" when nothing is left to send."""

        def signal(self, number: int) -> bytes:
            """Send a signal, or return what to send for it."""

        def resize(self, rows: int, columns: int) -> bytes:
            """Send the size of our terminal, or return what to send for it."""

        @property
        def over(self) -> bool:
            """Whether the program's end has arrived."""
else:
    import _signal  # the C part alone: signal itself imports enum, which takes longer than a start

_KEPT = (
    _signal.SIGKILL,
    _signal.SIGCHLD,
    _signal.SIGPIPE,
    _signal.SIGURG,
    _signal.SIGWINCH,
    _signal.SIGSTOP,
    _signal.SIGTSTP,
    _signal.SIGTTIN,
    _signal.SIGTTOU,
    _signal.SIGCONT,
)
"""Signals that are not passed on: those of job control, and those about this process itself."""


class DetachedError(Exception):
    """The program keeps running without us: the detach keys, a closed terminal, or the end of all it gets."""


def serve(link: "ProgramLink", *, stdin: bool, tty: bool, keys: str = "", proxy: bool = True) -> bool:
    """Serve a link to its end, see StdioSession; False when the keys left the program running."""
    try:
        with StdioSession(link, stdin=stdin, tty=tty, keys=keys, proxy=proxy and link.signals) as session:
            session.run()
    except DetachedError:
        return False
    return True


def _leave(*_: object) -> None:
    """Detach when our terminal is closed: the program keeps running, and `nn attach` joins it again."""
    raise DetachedError


class StdioSession:
    """Joins our standard streams to one link. As a context manager it restores signals and terminal.

    stdin: send our input. tty: the program has a terminal; ours is then made raw, and `keys` detach. proxy:
    pass signals on.
    """

    def __init__(
        self, link: "ProgramLink", *, stdin: bool, tty: bool, keys: str = "", proxy: bool = True
    ) -> None:
        self._link = link
        self._stdin = stdin
        self._tty = tty
        self._matcher = _matcher(keys) if stdin and tty else None
        self._proxy = proxy
        self._pending: list[bytes] = []  # what signal handlers want to send while the loop waits
        self._wake = -1
        self._old_handlers: list[tuple[int, Any]] = []
        self._restore: Callable[[], None] | None = None

    def __enter__(self) -> "StdioSession":
        number = 1
        while number < 65:
            if number == _signal.SIGWINCH:
                if self._tty:
                    self._catch(number, lambda *_: self._tell(self._size()))
            elif number == _signal.SIGHUP and self._tty and self._stdin:
                self._catch(number, _leave)
            elif self._proxy and number not in _KEPT and number not in range(32, 34):
                self._catch(number, lambda caught, _: self._tell(self._link.signal(caught)))
            number += 1
        if self._tty and self._stdin:
            from runtime.cli.connection import terminal

            self._restore = terminal.make_raw(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._restore is not None:
            self._restore()
        for number, handler in self._old_handlers:
            _signal.signal(number, handler)

    def _catch(self, number: int, handler: "Callable[[int, object], None]") -> None:
        try:  # noqa: SIM105 - contextlib is slow to import
            self._old_handlers.append((number, _signal.signal(number, handler)))
        except (OSError, ValueError):
            pass

    def _tell(self, data: bytes) -> None:
        """Send from a signal handler: at once, or through the loop when it is sending input."""
        if data and self._wake >= 0:
            self._pending.append(data)
        elif data:
            try:  # noqa: SIM105
                self._link.sock.sendall(data)
            except OSError:
                pass

    def _size(self) -> bytes:
        from runtime.cli.connection import terminal

        size = terminal.size()
        return self._link.resize(*size) if size else b""

    # ---- the loops -------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the output has ended. DetachedError; BrokenPipeError when our output has no reader."""
        if self._tty:
            self._tell(self._size())
        rest, self._link.rest = self._link.rest, b""
        if rest and not self._show(rest):
            return
        if self._stdin or self._old_handlers:  # a recv would go on after a signal that came just before it
            self._converse()
        else:
            while (data := receive(self._link.sock)) and self._show(data):
                pass

    def _show(self, data: bytes) -> bool:
        """Write received data; False after the end."""
        for kind, piece in self._link.split(data):
            write(kind, piece)
        return not self._link.over

    def _converse(self) -> None:
        """Serve output, input and signals, whichever comes."""
        import select

        self._wake, wake = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        old = _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            self._poll(select.poll(), select.POLLIN, select.POLLOUT)
        finally:
            _signal.set_wakeup_fd(old)
            posix.close(self._wake)
            posix.close(wake)
            self._wake = -1

    def _poll(self, poll: "Any", readable: int, writable: int) -> None:
        """Wait for all sides at once. Input is read only when all earlier input is sent."""
        sock = self._link.sock
        number, reading, sending = sock.fileno(), self._stdin, memoryview(b"")
        poll.register(number, readable)
        poll.register(self._wake, readable)
        if reading:
            poll.register(0, readable)
        while True:
            for fd, event in poll.poll():
                if fd == self._wake:
                    posix.read(self._wake, 512)
                elif fd == 0 and not sending:
                    data = self._read_input()
                    if data is not None:
                        sending = memoryview(self._link.input(data))
                        reading = bool(data)
                elif fd == number and event & ~writable:
                    received = receive(sock)
                    if not received or not self._show(received):
                        return
            while self._pending:
                sending = memoryview(bytes(sending) + self._pending.pop(0))
            if sending:
                sending = self._send(sock, sending)
            poll.modify(number, readable | (writable if sending else 0))
            if reading and not sending:
                poll.register(0, readable)
            else:
                _forget(poll, 0)

    def _send(self, sock: "_socket.socket", data: memoryview) -> memoryview:
        try:
            return data[sock.send(data, 0x40) :]  # MSG_DONTWAIT
        except BlockingIOError:
            return data
        except OSError:
            return memoryview(b"")  # the program reads no more; its output is still shown

    def _read_input(self) -> "bytes | None":
        """Return input: b"" at its end, None while a possible start of the detach keys is held back."""
        try:
            data = posix.read(0, PIECE)
        except OSError:  # the terminal is closed
            data = b""
        if self._matcher is None or not data:
            return data
        data, complete = self._matcher.feed(data)
        if complete:
            self._link.sock.sendall(self._link.input(data) if data else b"")
            raise DetachedError
        return data or None


def receive(sock: "_socket.socket") -> bytes:
    """Return received data; b"" at the end (a reset when the other side left input unread)."""
    try:
        return sock.recv(PIECE)
    except ConnectionResetError:
        return b""


def _forget(poll: "Any", fd: int) -> None:
    try:  # noqa: SIM105
        poll.unregister(fd)
    except KeyError:
        pass


def _matcher(keys: str) -> "KeyMatcher":
    """Return the matcher of the detach keys, which flag_values has checked."""
    from runtime.docker_syntax.detach_keys import KeyMatcher, parse

    return KeyMatcher(parse(keys))


def write(fd: int, data: "bytes | memoryview") -> None:
    """Write all of it. BrokenPipeError when the other end has no reader."""
    while data:
        try:
            data = data[posix.write(fd, data) :]
        except BlockingIOError:
            import select

            select.select([], [fd], [])
