"""The name server that containers ask at 127.0.0.11: answers names of neighbours, forwards other queries.

Its sockets were opened inside the container, so each belongs to one container. Queries are forwarded from the
host's network, from which all of the host's name servers can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Protocol, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset

TTL_S = 600
"""As docker's: the address behind a name changes only with its container."""
_PORT = 53
_PATIENCE_S = 2.0
_LONGEST = 65535
_PLAIN_UDP = 512
_AT_ONCE = 256


class Lookup(Protocol):
    """The names that one container can resolve."""

    def addresses(self, name: str) -> Sequence[str] | None:
        """Return a neighbour's addresses; None for an unknown name. name: lower case, no trailing dot."""
        ...

    def name_of(self, address: str) -> str | None:
        """Return the name of the neighbour that has an address."""
        ...

    def servers(self) -> Sequence[str]:
        """Return the servers to forward to; none when the container has no way out."""
        ...


Forward = Callable[[bytes, Sequence[str], bool], Awaitable[bytes | None]]


class Resolver:
    """Turns a query's bytes into an answer's. forward: asks other servers (query, servers, tcp)."""

    def __init__(self, lookup: Lookup, forward: Forward | None = None) -> None:
        self._lookup = lookup
        self._forward = forward or ask_servers

    async def answer(self, data: bytes, *, tcp: bool = False) -> bytes | None:
        """Answer one query; None when the bytes are not a query."""
        try:
            query = dns.message.from_wire(data)
        except (dns.exception.DNSException, struct.error):
            return None
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        own = self._own(query)
        if own is not None:
            return _wire(own, query, tcp)
        servers = self._lookup.servers()
        answered = await self._forward(data, servers, tcp) if servers else None
        if answered is not None:
            return answered
        return _wire(_response(query, dns.rcode.SERVFAIL), query, tcp)

    def _own(self, query: dns.message.Message) -> dns.message.Message | None:
        """Return our own answer, None for a query that must be forwarded."""
        question = query.question[0]
        if question.rdtype == dns.rdatatype.PTR:
            return self._pointer(query, question.name)
        found = self._lookup.addresses(question.name.to_text(omit_final_dot=True).lower())
        if found is None:
            return None
        response = _response(query)
        version = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(question.rdtype)
        fitting = [address for address in found if ip_address(address).version == version]
        random.shuffle(fitting)  # spreads the load over containers that share an alias
        if fitting:
            kind = dns.rdatatype.to_text(question.rdtype)
            response.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", kind, *fitting))
        return response

    def _pointer(self, query: dns.message.Message, name: dns.name.Name) -> dns.message.Message | None:
        try:
            address = dns.reversename.to_address(name)
        except (dns.exception.DNSException, ValueError):
            return None
        found = self._lookup.name_of(str(ip_address(address)))
        if found is None:
            return None
        response = _response(query)
        response.answer.append(dns.rrset.from_text(name, TTL_S, "IN", "PTR", found + "."))
        return response


def _response(query: dns.message.Message, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(code)
    return response


def _wire(response: dns.message.Message, query: dns.message.Message, tcp: bool) -> bytes:
    """Encode an answer; one too long for UDP is marked truncated, so that the client retries over TCP."""
    limit = _LONGEST if tcp else max(_PLAIN_UDP, query.payload)
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        short = _response(query)
        short.flags |= dns.flags.TC
        return short.to_wire(max_size=limit)


# ---- forwarding -------------------------------------------------------------------------------------------


async def ask_servers(data: bytes, servers: Sequence[str], tcp: bool) -> bytes | None:
    """Ask the servers in turn until one answers without SERVFAIL or REFUSED; None when none answers."""
    last = None
    for server in servers:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PATIENCE_S):
                answer = await (_ask_tcp if tcp else _ask_udp)(data, server)
            if answer[3] & 0xF not in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
                return answer
            last = answer
    return last


class _UdpQuery(asyncio.DatagramProtocol):
    """Sends a query and waits for its answer."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the query."""
        cast(asyncio.DatagramTransport, transport).sendto(self._query)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Accept the answer that carries the query's id."""
        if len(data) >= 12 and data[:2] == self._query[:2] and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """Report that nothing listens there."""
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _ask_udp(data: bytes, server: str) -> bytes:
    loop = asyncio.get_running_loop()
    transport, query = await loop.create_datagram_endpoint(
        lambda: _UdpQuery(data), remote_addr=(server, _PORT)
    )
    try:
        return await query.answer
    finally:
        transport.close()


async def _ask_tcp(data: bytes, server: str) -> bytes:
    reader, writer = await asyncio.open_connection(server, _PORT)
    try:
        writer.write(struct.pack(">H", len(data)) + data)
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        answer = await reader.readexactly(length)
    finally:
        writer.close()
    if len(answer) < 12:
        raise OSError("answer is too short")
    return answer


# ---- serving ----------------------------------------------------------------------------------------------


class NameServer(asyncio.DatagramProtocol):
    """Serves the two sockets of one container. Created by open(); owns the descriptors."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, fds: Sequence[int], lookup: Lookup) -> NameServer:
        """Serve `fds` (UDP, listening TCP)."""
        made = cls(Resolver(lookup))
        udp, tcp = (socket.socket(fileno=fd) for fd in fds)
        for sock in (udp, tcp):
            sock.setblocking(False)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, sock=udp)
        made._server = await asyncio.start_server(made._converse, sock=tcp)
        return made

    def close(self) -> None:
        """Close the sockets, which would keep the container's network namespace alive. Idempotent."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport for answers."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer concurrently; beyond the limit queries are dropped, and clients retry."""
        if len(self._tasks) < _AT_ONCE:
            task = asyncio.ensure_future(self._reply(data, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = await self._resolver.answer(data)
        if answer is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, addr)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of a TCP connection in turn."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                answer = await self._resolver.answer(await reader.readexactly(length), tcp=True)
                if answer is None:
                    return
                writer.write(struct.pack(">H", len(answer)) + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()
