"""Messages and descriptors on a socket, in pieces of any size, and what a broken peer sends."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.config import ContainerConfig
from runtime.engine.errors import EngineError, StartFailedError
from runtime.engine.spawner.framing import LONGEST, Outbox, WireError, daemon_inbox, spawner_inbox
from runtime.engine.spawner.protocol import Act, Done, Exec, Request, Resize, Running, Signal, Start, Welcome
from runtime.engine.spawner.server import failed
from runtime.network.errors import NetworkError

REQUESTS = st.one_of(
    st.builds(Signal, id=st.text(), number=st.integers(0, 64)),
    st.builds(Resize, id=st.text(), rows=st.integers(0, 9), columns=st.integers(0, 9)),
    st.builds(Act, what=st.sampled_from(["pause", "streams", "release"]), id=st.text(), exec_id=st.text()),
    st.builds(Exec, id=st.text(), exec_id=st.text(), argv=st.lists(st.text()).map(tuple)),
    st.builds(Start, id=st.text(), config=st.builds(ContainerConfig, home=st.text(), hostname=st.text())),
)


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@given(st.lists(st.tuples(st.integers(0, 1 << 30), REQUESTS), max_size=6), st.data())
def test_messages_come_whole_and_in_order_however_they_are_cut(sent, data):
    outbox, inbox = Outbox(), spawner_inbox()
    with pair() as (left, right), pair() as (here, there):
        for serial, message in sent:
            outbox.add(serial, message)
        assert outbox.flush(left)
        left.shutdown(socket.SHUT_WR)
        stream = b""
        while piece := right.recv(1 << 16):
            stream += piece
        found: list[tuple[int, Request]] = []
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            here.sendall(stream[:size])
            stream = stream[size:]
            assert inbox.receive(there)
            found += [(serial, message) for serial, message, _ in inbox.messages()]
        assert found == sent


def test_descriptors_come_with_their_own_message():
    outbox, inbox = Outbox(), daemon_inbox()
    pipes = [os.pipe() for _ in range(3)]
    with pair() as (left, right):
        outbox.add(1, Done(), [pipes[0][0], pipes[1][0]])
        outbox.add(2, Done())
        outbox.add(3, Done(), [pipes[2][0]])
        assert outbox.flush(left)
        found: dict[int, list[int]] = {}
        while len(found) < 3:
            assert inbox.receive(right)
            found |= {serial: fds for serial, _, fds in inbox.messages()}
        assert [len(found[serial]) for serial in (1, 2, 3)] == [2, 0, 1]
        for number, fd in enumerate([*found[1], *found[3]]):
            os.write(pipes[number][1], b"%d" % number)
            assert os.read(fd, 9) == b"%d" % number
            assert not os.get_inheritable(fd)
            os.close(fd)
    for ends in pipes:
        os.close(ends[0])
        os.close(ends[1])


def test_a_full_socket_is_filled_again_later():
    outbox, inbox = Outbox(), daemon_inbox()
    big = Welcome(pid=1, running=(Running(id="x" * 1000, exec_id="", pid=1, tty=False, stdin=False),) * 2000)
    with pair() as (left, right):
        outbox.add(1, big)
        outbox.add(2, Done())
        found: list[int] = []
        while not outbox.flush(left) or len(found) < 2:
            with contextlib.suppress(BlockingIOError):
                inbox.receive(right)
            for serial, message, _ in inbox.messages():
                assert message == (big if serial == 1 else Done())
                found.append(serial)
        assert found == [1, 2]


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (struct.pack("<II", LONGEST + 1, 0), rf"\b{LONGEST + 1}\b"),
        (struct.pack("<II", 1, 2) + b"\xc0", r"\b2\b.*\b0\b"),
        (struct.pack("<II", 1, 0) + b"\xc0", "Expected `array`"),
        (struct.pack("<II", 3, 0) + b"\xc1\xc1\xc1", "MessagePack data is malformed"),
    ],
)
def test_a_peer_that_breaks_the_protocol(stream, message):
    inbox = spawner_inbox()
    with pair() as (left, right):
        left.sendall(stream)
        inbox.receive(right)
        with pytest.raises(WireError, match=message):
            list(inbox.messages())


def test_the_end_and_nothing_are_told_apart():
    inbox = spawner_inbox()
    with pair() as (left, right):
        with pytest.raises(BlockingIOError):
            inbox.receive(right)
        left.close()
        assert not inbox.receive(right)


def test_errors_cross_as_what_they_are():
    assert failed(StartFailedError("x", 126)).exit_code == 126
    assert failed(EngineError("x")).kind == "EngineError"
    assert failed(NetworkError("port")).kind == "EngineError"
    assert failed(ValueError("nonsense")).kind == "BadParameterError"
    assert "this is a bug" in failed(KeyError("x")).message


def test_every_request_is_known_by_its_tag():
    kinds = msgspec.inspect.type_info(Request)
    assert isinstance(kinds, msgspec.inspect.UnionType)
    assert len({kind.tag for kind in kinds.types}) == len(kinds.types)
