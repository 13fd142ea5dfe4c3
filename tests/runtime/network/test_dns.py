"""The resolver's answers, as dnspython on the other side reads them; sockets on the loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.network.dns import NameServer, Resolver
from tests.waiting import in_loop


class Neighbours:
    """Two neighbours; `many` is an alias of forty."""

    def __init__(self, servers: Sequence[str] = ("9.9.9.9",)) -> None:
        self._servers = servers
        self.known = {
            "db": ["10.1.0.2", "fd00::2"],
            "four": ["10.1.0.3"],
            "many": [f"10.1.1.{number}" for number in range(1, 41)],
        }

    def addresses(self, name: str) -> Sequence[str] | None:
        return self.known.get(name)

    def name_of(self, address: str) -> str | None:
        return {"10.1.0.2": "db.net", "fd00::2": "db.net"}.get(address)

    def servers(self) -> Sequence[str]:
        return self._servers


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def no_one(data: bytes, servers: Sequence[str], tcp: bool) -> bytes | None:
    return None


async def ask(
    name: str, kind: str, lookup: Neighbours | None = None, *, tcp: bool = False
) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    answer = await Resolver(lookup or Neighbours(), no_one).answer(query.to_wire(), tcp=tcp)
    assert answer is not None
    response = dns.message.from_wire(answer)
    assert query.is_response(response)
    return response


def texts(response: dns.message.Message) -> set[str]:
    return {item.to_text() for rrset in response.answer for item in rrset}


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("db", "A", {"10.1.0.2"}),
        ("DB.", "A", {"10.1.0.2"}),
        ("db", "AAAA", {"fd00::2"}),
        ("four", "AAAA", set()),
        ("db", "MX", set()),
        (dns.reversename.from_address("10.1.0.2").to_text(), "PTR", {"db.net."}),
        (dns.reversename.from_address("fd00::2").to_text(), "PTR", {"db.net."}),
    ],
)
@in_loop
async def test_neighbours_are_answered(name: str, kind: str, found: set[str]) -> None:
    response = await ask(name, kind)
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.RA
    assert texts(response) == found


@in_loop
async def test_what_is_too_long_comes_truncated_and_whole_over_tcp() -> None:
    assert (await ask("many", "A")).flags & dns.flags.TC
    whole = await ask("many", "A", tcp=True)
    assert not whole.flags & dns.flags.TC
    assert len(texts(whole)) == 40


@in_loop
async def test_others_are_forwarded_as_they_are_and_fail_when_nobody_answers() -> None:
    asked = []

    async def forward(data: bytes, servers: Sequence[str], tcp: bool) -> bytes | None:
        asked.append((data, tuple(servers), tcp))
        return b"the answer"

    query = dns.message.make_query("example.org", "A").to_wire()
    assert await Resolver(Neighbours(), forward).answer(query) == b"the answer"
    assert asked == [(query, ("9.9.9.9",), False)]
    assert (await ask("example.org", "A")).rcode() == dns.rcode.SERVFAIL
    assert (await ask("example.org", "A", Neighbours(()))).rcode() == dns.rcode.SERVFAIL


@given(st.binary(max_size=64))
def test_rubbish_gets_no_answer_or_a_proper_one(data: bytes) -> None:
    answer = asyncio.run(Resolver(Neighbours(), no_one).answer(data))
    if answer is not None:
        assert dns.message.from_wire(answer).flags & dns.flags.QR


@in_loop
async def test_answers_are_not_asked_again() -> None:
    query = dns.message.make_query("db", "A")
    response = dns.message.make_response(query).to_wire()
    assert await Resolver(Neighbours(), no_one).answer(response) is None


@in_loop
async def test_the_two_sockets_are_served_until_the_close() -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    tcp = socket.create_server(("127.0.0.1", 0))
    ports = udp.getsockname()[1], tcp.getsockname()[1]
    server = await NameServer.open((udp.detach(), tcp.detach()), Neighbours())
    query = dns.message.make_query("db", "A")
    by_udp = await dns.asyncquery.udp(query, "127.0.0.1", port=ports[0], timeout=60)
    by_tcp = await dns.asyncquery.tcp(query, "127.0.0.1", port=ports[1], timeout=60)
    assert texts(by_udp) == texts(by_tcp) == {"10.1.0.2"}
    before = descriptors()
    server.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert descriptors() <= before - 2
    with pytest.raises((OSError, dns.exception.Timeout)):
        await dns.asyncquery.tcp(query, "127.0.0.1", port=ports[1], timeout=60)
