"""Helper process that relays connections to published ports where NAT cannot.

NAT cannot take connections from ::1, whose packets never leave the loopback, nor from one address family to
a container that has only the other. RelayProcess starts this process and sends it, over a socket, the
listeners to serve; the process confirms each one that it has closed, and exits when that socket closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from typing import cast

import msgspec

from runtime.network.model import Serve

_CHUNK = 1 << 16
_IDLE_S = 90.0
_MOST_CLIENTS = 1024


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until EOF, and pass the EOF on."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class TcpRelay:
    """Connections of one listening socket."""

    def __init__(self, listener: socket.socket, target: Serve) -> None:
        self._target, self._listener = target, listener
        self._server: asyncio.Server | None = None
        self._starting = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(self._target.address, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, there[1]))
                group.create_task(_copy(there[0], writer))
        except* OSError:
            pass  # one side broke off, so close the other
        finally:
            for stream in (writer, there[1]):
                stream.close()

    async def close(self) -> None:
        """Stop accepting; open connections go on. The port is free afterwards."""
        self._starting.cancel()
        if self._server is not None:
            self._server.close()
        self._listener.close()


class _Answers(asyncio.DatagramProtocol):
    """Passes a container's answers back to one client."""

    def __init__(self, relay: UdpRelay, client: tuple[object, ...]) -> None:
        self._relay, self._client = relay, client

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._relay.answer(data, self._client)


class UdpRelay(asyncio.DatagramProtocol):
    """Datagrams of one socket; each active client has its own socket to the container."""

    def __init__(self, listener: socket.socket, target: Serve) -> None:
        self._target, self._listener = target, listener
        self._transport: asyncio.DatagramTransport | None = None
        self._lost = asyncio.Event()
        self._clients: dict[tuple[object, ...], asyncio.Task[asyncio.DatagramTransport]] = {}
        self._idle: dict[tuple[object, ...], asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self._starting = asyncio.ensure_future(
            self._loop.create_datagram_endpoint(lambda: self, sock=listener)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport for answers."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record that the socket is being closed."""
        self._lost.set()

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Forward a client's datagram once its socket is open."""
        task = self._clients.get(addr)
        if task is None:
            if len(self._clients) >= _MOST_CLIENTS:
                return
            task = self._clients[addr] = asyncio.ensure_future(self._open(addr))
        task.add_done_callback(lambda done: _send(done, data))
        self._touch(addr)

    async def _open(self, client: tuple[object, ...]) -> asyncio.DatagramTransport:
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Answers(self, client), remote_addr=(self._target.address, self._target.port)
        )
        return transport

    def answer(self, data: bytes, client: tuple[object, ...]) -> None:
        """Send to a client."""
        if self._transport is not None:
            self._transport.sendto(data, client)
        self._touch(client)

    def _touch(self, client: tuple[object, ...]) -> None:
        if (old := self._idle.get(client)) is not None:
            old.cancel()
        self._idle[client] = self._loop.call_later(_IDLE_S, self._drop, client)

    def _drop(self, client: tuple[object, ...]) -> None:
        if (timer := self._idle.pop(client, None)) is not None:
            timer.cancel()
        if (task := self._clients.pop(client, None)) is not None:
            task.add_done_callback(_close_transport)

    async def close(self) -> None:
        """Stop forwarding. The port is free afterwards."""
        self._starting.cancel()
        await asyncio.wait([self._starting])
        for client in list(self._clients):
            self._drop(client)
        if self._transport is not None:
            self._transport.close()
            await self._lost.wait()
        self._listener.close()


def _send(done: asyncio.Task[asyncio.DatagramTransport], data: bytes) -> None:
    if not done.cancelled() and done.exception() is None and not done.result().is_closing():
        done.result().sendto(data)


def _close_transport(done: asyncio.Task[asyncio.DatagramTransport]) -> None:
    if not done.cancelled() and done.exception() is None:
        done.result().close()


class RelayServer:
    """The process: takes orders from its socket until that is closed."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._serving: dict[int, TcpRelay | UdpRelay] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()

    def take(self) -> None:
        """Read one order."""
        try:
            data, fds, _, _ = socket.recv_fds(self._orders, _CHUNK, 1)
        except ConnectionResetError:
            data, fds = b"", []
        if not data:
            self.ended.set()
            return
        order = msgspec.msgpack.decode(data, type=Serve)
        if not fds:
            task = asyncio.ensure_future(self._stop(order.key, data))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
        else:
            served = socket.socket(fileno=fds[0])
            relay = TcpRelay if served.type == socket.SOCK_STREAM else UdpRelay
            self._serving[order.key] = relay(served, order)

    async def _stop(self, key: int, order: bytes) -> None:
        """Stop serving, and confirm once the port is free."""
        if (old := self._serving.pop(key, None)) is not None:
            await old.close()
        with contextlib.suppress(OSError):
            self._orders.send(order, socket.MSG_DONTWAIT)


async def _main(fd: int) -> None:
    orders = socket.socket(fileno=fd)
    helper = RelayServer(orders)
    asyncio.get_running_loop().add_reader(orders, helper.take)
    await helper.ended.wait()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_main(int(sys.argv[1])))
