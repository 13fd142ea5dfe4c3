"""The spawner's server: connections of daemons, their requests, and the answers."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from runtime.engine.errors import BadParameterError, EngineError, StartFailedError
from runtime.engine.spawner import requests, starts, teardown
from runtime.engine.spawner.framing import Outbox, WireError, close_all, spawner_inbox
from runtime.engine.spawner.launch import SOCKET
from runtime.engine.spawner.loop import Loop
from runtime.engine.spawner.protocol import (
    MAIN,
    Act,
    Answer,
    Done,
    Exec,
    Exited,
    Failed,
    Hello,
    Request,
    Start,
    Welcome,
)
from runtime.engine.spawner.state import SpawnerState, log_failure
from runtime.network.errors import NetworkError
from runtime.spawn.cgroups import CgroupError

_LONELY_S = 30.0
"""How long a spawner that holds nothing waits for a daemon."""
_GOODBYE_S = 5.0
_PATIENCE_S = 10.0
_WAKES = 4096

Reply = Callable[[Answer, Sequence[int]], None]


class Server:
    """One spawner.

    run() returns when it is asked to end, or when it is not needed any more. private: it is needed as long as
    there is a connection, whatever runs.
    """

    def __init__(self, root: Path, listener: socket.socket, *, private: bool = False) -> None:
        self._root, self._private = root, private
        self._listener = listener
        self._inode = self._socket_inode()
        self._loop = Loop()
        self._connections: set[Connection] = set()
        self._state = SpawnerState(root, self._loop, self._send_exit)
        self._ending = False

    def run(self) -> None:
        """Serve."""
        self._listener.setblocking(False)
        self._loop.watch(self._listener.fileno(), self._accept)
        with _signals() as (wakes, came):
            self._loop.watch(wakes.fileno(), functools.partial(self._heed, wakes, came))
            self._loop.later(_LONELY_S, self._leave_if_alone)
            self._loop.run()

    # ---- connections ----------------------------------------------------------------------------------

    def _accept(self) -> bool:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return False
        sock.setblocking(False)
        connection = Connection(sock, self)
        self._connections.add(connection)
        self._loop.watch(sock.fileno(), connection.read)
        return True

    def lose(self, connection: Connection) -> None:
        """Drop a daemon that is gone, or has broken the protocol."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._loop.forget(connection.sock.fileno())
            connection.close()
            if self._private and not self._connections:
                self._end(_nobody)
            else:  # one that has not even said hello could not begin
                self._loop.later(_LONELY_S if connection.greeted else 0.0, self._leave_if_alone)

    def want_write(self, connection: Connection, wanted: bool) -> None:
        """Call the connection when it can be written to."""
        if connection in self._connections:
            self._loop.want_write(connection.sock.fileno(), wanted)

    def _send_exit(self, exited: Exited) -> None:
        for connection in list(self._connections):
            if connection.greeted:
                connection.send(0, exited)

    def _leave_if_alone(self) -> None:
        """End when there is no container and no connection."""
        if self._connections or self._state.containers or self._ending:
            return
        # Renamed first: who connects now starts another spawner; who connected just before is in the queue.
        there, aside = self._root / SOCKET, self._root / f"{SOCKET}.ending"
        with contextlib.suppress(FileNotFoundError):
            there.rename(aside)
            if self._accept():
                aside.rename(there)
                return
            aside.unlink()
        self._end(_nobody)

    # ---- requests -------------------------------------------------------------------------------------

    def handle(self, connection: Connection, serial: int, request: Request) -> None:
        """Answer a request, now or later."""

        def reply(answer: Answer, fds: Sequence[int] = ()) -> None:
            connection.send(serial, answer, fds)

        def finish(error: BaseException | None) -> None:
            reply(Done() if error is None else failed(error))

        try:
            self._handle(connection, request, reply, finish)
        except Exception as error:
            reply(failed(error))

    def _handle(
        self, connection: Connection, request: Request, reply: Reply, finish: teardown.Finish
    ) -> None:
        state = self._state
        if isinstance(request, Start):
            starts.start(state, request, reply, finish)
        elif isinstance(request, Exec):
            starts.execute(state, request, reply, finish)
        elif isinstance(request, Hello):
            if self._ending:  # no answer: it comes again once we are gone
                return
            connection.greeted = True
            running = tuple(one for running in state.containers.values() for one in running.report())
            reply(Welcome(pid=os.getpid(), running=running), ())
        elif isinstance(request, Act) and request.what == "release":
            self._release(request, reply)
        elif isinstance(request, Act) and request.what == "pause":
            teardown.pause(state, state.find_running(request.id), finish)
        elif isinstance(request, Act) and request.what == "end":
            self._end(finish)
        else:
            reply(*requests.act(state, request))

    def _release(self, request: Act, reply: Reply) -> None:
        """Free a container or an exec; its mounts go with the answer, for a daemon's thread to take off."""
        running = self._state.containers.get(request.id) if request.exec_id == MAIN else None

        def finish(error: BaseException | None) -> None:
            mounts = running.give_mounts() if running is not None and error is None else []
            reply(Done() if error is None else failed(error), mounts)
            close_all(mounts)

        teardown.release(self._state, request.id, request.exec_id, finish)

    # ---- the end --------------------------------------------------------------------------------------

    def _heed(self, wakes: socket.socket, came: set[int]) -> None:
        """Handle the signals that have come."""
        with contextlib.suppress(BlockingIOError):
            wakes.recv(_WAKES)
        if signal.SIGCHLD in came:
            came.discard(signal.SIGCHLD)
            self._state.look_soon()
        if came:
            self._end(_nobody)

    def _end(self, finish: teardown.Finish) -> None:
        if self._ending:
            return
        self._ending = True
        self._loop.forget(self._listener.fileno())  # daemons in its queue connect again

        def ended(error: BaseException | None) -> None:
            try:
                self._state.close(_PATIENCE_S if error is None else 0.0)
            except Exception as caught:
                log_failure("free everything")
                error = error or caught
            self._remove_socket()
            finish(error)
            for connection in list(self._connections):
                connection.say_goodbye()
            self._loop.end()

        teardown.end(self._state, ended)

    def _remove_socket(self) -> None:
        """Remove our socket; in its place may be that of the next spawner by now."""
        if self._inode and self._socket_inode() == self._inode:
            (self._root / SOCKET).unlink(missing_ok=True)

    def _socket_inode(self) -> int:
        try:
            return (self._root / SOCKET).stat().st_ino
        except OSError:
            return 0


class Connection:
    """One daemon. greeted: it has said Hello, and gets exits from then on."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.greeted = False
        self._server = server
        self._inbox, self._outbox = spawner_inbox(), Outbox()

    def read(self) -> None:
        """Take what has arrived, and send what has waited."""
        try:
            open_still = self._inbox.receive(self.sock)
            for serial, request, fds in self._inbox.messages():
                for fd in fds:  # no request comes with any
                    os.close(fd)
                self._server.handle(self, serial, request)
        except BlockingIOError:
            self._flush()
            return
        except (OSError, WireError):
            open_still = False
        if open_still:
            self._flush()
        else:
            self._server.lose(self)

    def send(self, serial: int, answer: Answer, fds: Sequence[int] = ()) -> None:
        """Send an answer as soon as the other side takes it."""
        if self.sock.fileno() >= 0:
            self._outbox.add(serial, answer, fds)
            self._flush()

    def _flush(self) -> None:
        if self.sock.fileno() < 0:
            return
        try:
            self._server.want_write(self, not self._outbox.flush(self.sock))
        except OSError:
            self._server.lose(self)

    def say_goodbye(self) -> None:
        """Send what is left, and close."""
        with contextlib.suppress(OSError):
            self.sock.settimeout(_GOODBYE_S)
            self._outbox.flush(self.sock)
        self.close()

    def close(self) -> None:
        """Close the socket, and all descriptors that were not sent or taken."""
        self.sock.close()
        self._inbox.close()
        self._outbox.close()


def failed(error: BaseException) -> Failed:
    """Say an error so that the other side raises the like."""
    if isinstance(error, StartFailedError):
        return Failed(kind="StartFailedError", message=str(error), exit_code=error.exit_code)
    if isinstance(error, EngineError):
        return Failed(kind=type(error).__name__, message=str(error))
    if isinstance(error, ValueError):  # of the spec: capabilities, filters, mounts
        return Failed(kind=BadParameterError.__name__, message=str(error))
    if isinstance(error, (NetworkError, CgroupError, OSError)):
        return Failed(kind=EngineError.__name__, message=str(error))
    log_failure("answer a request")
    message = f"{type(error).__name__}: {error}; this is a bug, report it"
    return Failed(kind=EngineError.__name__, message=message)


def _nobody(error: BaseException | None) -> None:
    """Nobody has asked for the end."""


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, set[int]]]:
    """Yield a socket that is readable once a signal has come, and the set of signals that came.

    The socket alone would not do: its buffer may be full when many children end at once.
    """
    came: set[int] = set()
    wakes, wake = socket.socketpair()
    wakes.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda number, _: came.add(number))
    signal.siginterrupt(signal.SIGCHLD, False)  # no step of a tape that this process walks is to fail for it
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield wakes, came
    finally:
        signal.set_wakeup_fd(-1)
        wakes.close()
        wake.close()
