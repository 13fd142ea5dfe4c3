"""The API process's client of the spawner: asyncio calls over ROOT/spawner.sock, with descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import select
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from runtime.engine import errors
from runtime.engine.errors import EngineError, StartFailedError, UnavailableError
from runtime.engine.spawner import launch
from runtime.engine.spawner.framing import Outbox, WireError, close_all, daemon_inbox
from runtime.engine.spawner.protocol import (
    MAIN,
    VERSION,
    Act,
    Answer,
    Done,
    Exec,
    Exited,
    Failed,
    Hello,
    Link,
    Linked,
    NetworkSpec,
    Pids,
    Request,
    Resize,
    Running,
    Signal,
    Start,
    Started,
    Update,
    Usage,
    Welcome,
)
from runtime.spawn.cgroups import Limits

Reply = tuple[Answer, list[int]]
A = TypeVar("A")

_PATIENCE_S, _END_S = 60.0, 40.0


class Spawner:
    """Made by open().

    All methods raise EngineError or the subclass that was raised in the spawner. running: what the spawner
    held when this process connected, including ended programs that were not released (`exited` is set).
    on_exit: called in the loop, once for each program that ends from then on; exits before it is set wait for
    it. on_lost: called in the loop when the spawner is gone; all its containers are then dead, or will be
    when the next one sweeps. pid: the spawner's.
    """

    def __init__(self, root: Path, sock: socket.socket) -> None:
        self.root = root
        self.pid = 0
        self.running: tuple[Running, ...] = ()
        self._on_lost: Callable[[], None] = _nothing
        self._on_exit: Callable[[Exited], None] | None = None
        self._early: list[Exited] = []
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._inbox, self._outbox = daemon_inbox(), Outbox()
        self._serials = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._closed = self._is_lost = False
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)

    @classmethod
    async def open(
        cls, root: Path, *, private: bool = False, begun: Awaitable[socket.socket] | None = None
    ) -> Spawner:
        """Connect to the living spawner of `root`, or start one. private: one that ends with its daemon.

        begun: a launch.connect under way.

        Raises UnavailableError when neither works, or when it is of another version.
        """
        root = Path(root).absolute()
        spawner, answer = await cls._greet(root, begun or asyncio.to_thread(launch.connect, root, private))
        if answer is None:  # it was just ending: another one can be had now
            spawner, answer = await cls._greet(root, asyncio.to_thread(launch.connect, root, private))
        if answer is None:
            cause = launch.log_tail(root) or "no answer"
            raise UnavailableError(f"start the spawner of {root}: {cause}; see {root / launch.LOG}")
        if answer.version != VERSION:
            spawner._leave()
            raise UnavailableError(
                f"the spawner of {root} (process {answer.pid}) belongs to another version of ninetynine: "
                "stop the containers with that version, then start this one"
            )
        spawner.pid, spawner.running = answer.pid, answer.running
        return spawner

    @classmethod
    async def _greet(cls, root: Path, connecting: Awaitable[socket.socket]) -> tuple[Spawner, Welcome | None]:
        """Connect and say hello; None when the spawner ends without an answer."""
        try:
            sock = await connecting
        except OSError as error:
            raise UnavailableError(
                f"start the spawner of {root}: {error.strerror}; it needs root, and {launch.SOCKET} there"
            ) from error
        spawner = cls(root, sock)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return spawner, await spawner._ask(Hello(), Welcome)
        except (EngineError, TimeoutError):
            spawner._leave()
            return spawner, None
        except BaseException:
            spawner._leave()
            raise

    @property
    def on_exit(self) -> Callable[[Exited], None]:
        """The callback for each program that ends."""
        return self._on_exit or self._early.append

    @on_exit.setter
    def on_exit(self, call: Callable[[Exited], None]) -> None:
        self._on_exit = call
        early, self._early = self._early, []
        for exited in early:
            self._loop.call_soon(call, exited)

    @property
    def on_lost(self) -> Callable[[], None]:
        """The callback for the loss of the spawner; called at once when it is lost already."""
        return self._on_lost

    @on_lost.setter
    def on_lost(self, call: Callable[[], None]) -> None:
        self._on_lost = call
        if self._is_lost:
            self._loop.call_soon(call)

    # ---- containers -----------------------------------------------------------------------------------

    async def start(self, request: Start) -> tuple[Started, list[int]]:
        """Start a container; return the answer and the caller's descriptors of its stdio.

        Descriptors: the terminal's with tty; else stdin (when asked for), stdout, stderr, in this order.
        Nothing is left behind by a failure. StartFailedError says 126 or 127 by `exit_code`.
        """
        return await self._ask_fds(request, Started)

    async def exec(self, request: Exec) -> tuple[Started, list[int]]:
        """Start a program in a running container; descriptors as with start()."""
        return await self._ask_fds(request, Started)

    async def signal(self, container_id: str, number: int, exec_id: str = MAIN) -> None:
        """Send a signal; nothing happens to a program that has ended. NotFoundError: no such program here."""
        await self._ask(Signal(id=container_id, exec_id=exec_id, number=number), Done)

    async def pause(self, container_id: str) -> None:
        """Freeze all processes of a container."""
        await self._ask(Act(what="pause", id=container_id), Done)

    async def unpause(self, container_id: str) -> None:
        """Unfreeze them."""
        await self._ask(Act(what="unpause", id=container_id), Done)

    async def release(self, container_id: str, exec_id: str = MAIN) -> None:
        """Free what an ended container (or exec) still holds; the writable layer stays in its home.

        Acknowledges the exit, which is then not reported again. Kills what is left in its cgroup. Unknown ids
        are ignored.
        """
        _, mounts = await self._ask_fds(Act(what="release", id=container_id, exec_id=exec_id), Done)
        if mounts:  # to take mounts off waits for the kernel
            self._loop.run_in_executor(None, close_all, mounts)

    async def close_stdin(self, container_id: str, exec_id: str = MAIN) -> None:
        """Close the spawner's copy of a program's stdin; it reads its end once the caller's is closed too."""
        await self._ask(Act(what="close_stdin", id=container_id, exec_id=exec_id), Done)

    async def kill_all(self, container_id: str) -> None:
        """SIGKILL everything in a container's cgroup."""
        await self._ask(Act(what="kill_all", id=container_id), Done)

    async def usage(self, container_id: str) -> Usage:
        """Return what a container uses now."""
        return await self._ask(Act(what="usage", id=container_id), Usage)

    async def pids(self, container_id: str) -> tuple[int, ...]:
        """Return the pids (on the host) of all processes of a container, execs included."""
        return (await self._ask(Act(what="pids", id=container_id), Pids)).pids

    async def streams(self, container_id: str, exec_id: str = MAIN) -> list[int]:
        """Return fresh duplicates of the descriptors that start() or exec() gave, without a closed stdin."""
        return (await self._ask_fds(Act(what="streams", id=container_id, exec_id=exec_id), Done))[1]

    async def resize(self, container_id: str, rows: int, columns: int, exec_id: str = MAIN) -> None:
        """Set the size of a terminal. ConflictError: it has none."""
        await self._ask(Resize(id=container_id, rows=rows, columns=columns, exec_id=exec_id), Done)

    async def update(self, container_id: str, limits: Limits) -> None:
        """Set the limits of a running container that are not None."""
        await self._ask(Update(id=container_id, limits=limits), Done)

    # ---- networks and pools ---------------------------------------------------------------------------

    async def link(self, request: Link) -> Linked:
        """Attach a running container to one more network, or detach it; return the result."""
        return await self._ask(request, Linked)

    async def resolver(self, container_id: str) -> list[int]:
        """Return duplicates of the sockets at 127.0.0.11 inside (UDP, listening TCP); [] when it has none."""
        return (await self._ask_fds(Act(what="resolver", id=container_id), Done))[1]

    async def network_up(self, spec: NetworkSpec) -> None:
        """Make the network's bridge and rules, if they are not there."""
        await self._ask(spec, Done)

    async def network_down(self, container_id: str) -> None:
        """Remove the network's bridge and rules. Unknown ids are ignored."""
        await self._ask(Act(what="network_down", id=container_id), Done)

    # ---- the end --------------------------------------------------------------------------------------

    async def close(self, *, kill: bool) -> None:
        """Disconnect. With kill the spawner ends all containers, frees all it made on the host, and ends.

        Returns when it is gone. Raises EngineError when something could not be freed.
        """
        if self._closed:
            return
        self.on_lost = _nothing
        try:
            if kill:
                with contextlib.suppress(UnavailableError), _process(self.pid) as pidfd:
                    await self._end(pidfd)
        finally:
            self._leave()

    async def _end(self, pidfd: int) -> None:
        try:
            async with asyncio.timeout(_END_S):
                await self._ask(Act(what="end", id=""), Done)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            raise EngineError(
                "end the spawner: it does not answer and was killed; the next start frees what it has left"
            ) from None
        finally:
            await asyncio.to_thread(_wait_for, pidfd)

    # ---- the wire -------------------------------------------------------------------------------------

    async def _ask(self, request: Request, kind: type[A]) -> A:
        answer, fds = await self._ask_fds(request, kind)
        close_all(fds)
        return answer

    async def _ask_fds(self, request: Request, kind: type[A]) -> tuple[A, list[int]]:
        if self._closed:
            raise UnavailableError("the spawner is gone; start the daemon again")
        serial = next(self._serials)
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[serial] = future
        self._outbox.add(serial, request)
        self._write()
        answer, fds = await future
        if isinstance(answer, Failed):
            raise _error(answer)
        if not isinstance(answer, kind):
            close_all(fds)
            raise EngineError(f"the spawner answered with {type(answer).__name__}; this is a bug, report it")
        return answer, fds

    def _write(self) -> None:
        try:
            if self._outbox.flush(self._sock):
                self._loop.remove_writer(self._sock)
            else:
                self._loop.add_writer(self._sock, self._write)
        except OSError:
            self._lose()

    def _read(self) -> None:
        try:
            open_still = self._inbox.receive(self._sock)
            for serial, answer, fds in self._inbox.messages():
                self._take(serial, answer, fds)
        except BlockingIOError:
            return
        except (OSError, WireError):
            open_still = False
        if not open_still:
            self._lose()

    def _take(self, serial: int, answer: Answer, fds: list[int]) -> None:
        if isinstance(answer, Exited):
            # After the answer to its start, which may be in the same batch and whose future is set already.
            self._loop.call_soon(lambda: self.on_exit(answer))
            return
        future = self._waiting.pop(serial, None)
        if future is None or future.done():  # the caller was cancelled
            close_all(fds)
        else:
            future.set_result((answer, fds))

    def _lose(self) -> None:
        if not self._closed:
            self._is_lost = True
            self._leave()
            self.on_lost()

    def _leave(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._inbox.close()
        self._outbox.close()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(UnavailableError("the spawner is gone; start the daemon again"))


def _nothing() -> None:
    pass


def _error(failed: Failed) -> EngineError:
    """Return the error as it was raised in the spawner."""
    if failed.kind == StartFailedError.__name__:
        return StartFailedError(failed.message, failed.exit_code)
    kind = getattr(errors, failed.kind, EngineError)
    error: EngineError = kind(failed.message)
    return error


@contextlib.contextmanager
def _process(pid: int) -> Iterator[int]:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise UnavailableError("the spawner is gone; start the daemon again") from None
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def _wait_for(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(_PATIENCE_S * 1000)
