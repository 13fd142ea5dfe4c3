"""HTTP as it comes: cut anywhere, chunked, counted, upgraded, broken."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.cli.connection.client import Client, filters, pairs
from runtime.cli.connection.endpoint import DaemonEndpoint
from runtime.cli.connection.http import HttpConnection, quote, target
from runtime.cli.errors import CliError, DaemonError
from runtime.docker_syntax.frames import FrameReader
from tests.runtime.tiny_server import Request, on_unix


def answered(raw: bytes, cuts: list[int], method: str = "GET") -> tuple[int, bytes]:
    """Feed an answer to an HttpConnection in the given pieces; return status and body."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        at = 0
        for cut in sorted(cuts):
            theirs.sendall(raw[at:cut])
            at = max(at, cut)
        theirs.sendall(raw[at:])
        theirs.shutdown(socket.SHUT_WR)
        answer = HttpConnection(ours, "x").answer(method)  # type: ignore[arg-type]
        return answer.status, answer.read()


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.data())
@settings(max_examples=60)
def test_a_chunked_body_is_whole_however_it_is_cut(pieces: list[bytes], data: st.DataObject):
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\nTrailer: x\r\n\r\n"
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=5))
    assert answered(raw, cuts) == (200, b"".join(pieces))


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2050), max_size=5))
@settings(max_examples=60)
def test_a_counted_body_is_whole_however_it_is_cut(body: bytes, cuts: list[int]):
    raw = b"HTTP/1.1 404 Nope\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    assert answered(raw, [min(cut, len(raw)) for cut in cuts]) == (404, body)


def test_a_body_without_length_ends_with_the_connection():
    assert answered(b"HTTP/1.1 200 OK\r\n\r\nall of it", []) == (200, b"all of it")


def test_an_interim_answer_is_passed_over():
    assert answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", []) == (204, b"")


def test_head_has_no_body_whatever_its_length_says():
    assert answered(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", [], "HEAD") == (200, b"")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "before"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "within"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", r"\b4 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", r"\b3 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "within"),
    ],
)
def test_a_broken_answer_is_an_error_in_words(raw: bytes, said: str):
    with pytest.raises(CliError, match=said):
        answered(raw, [])


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 4]), st.binary(max_size=300)), max_size=8), st.data())
def test_frames_are_whole_however_they_are_cut(sent: list[tuple[int, bytes]], data: st.DataObject):
    raw = b"".join(bytes((kind, 0, 0, 0)) + len(one).to_bytes(4, "big") + one for kind, one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    frames, seen, current = FrameReader(), [], b""
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        for kind, piece, ended in frames.split(raw[start:end]):
            current += piece
            if ended:
                seen.append((kind, current))
                current = b""
    assert seen == sent
    assert not frames.within


@given(st.text(st.characters(blacklist_categories=("Cs",)), max_size=30))
def test_what_is_quoted_is_read_back(text: str):
    from urllib.parse import parse_qs, unquote, urlsplit

    assert unquote(quote(text)) == text
    where = target("/x", [("q", text), ("r", "1")])
    assert parse_qs(urlsplit(where).query, keep_blank_values=True)["q"] == [text]
    assert " " not in where and "\n" not in where


# ---- the client --------------------------------------------------------------------------------------------


@pytest.fixture
def seen() -> list[Request]:
    return []


@pytest.fixture
def client(tmp_path: Path, seen: list[Request]) -> Iterator[Client]:
    def answer(request: Request) -> None:
        seen.append(request)
        if request.path == "/refused":
            request.reply('{"message":"No such thing: x"}', 404)
        elif request.path == "/odd":
            request.reply("<html>", 502)
        elif request.path == "/lines":
            request.reply('{"a":1}\r\n{"a":2}\n\n{"a":3}')
        elif request.path == "/gone":
            request.reply('{"x":1}')
            request.sock.shutdown(socket.SHUT_RDWR)
        else:
            request.reply(json.dumps({"method": request.method, "body": request.body.decode()}))

    server = on_unix(tmp_path / "s", answer)
    yield Client(DaemonEndpoint(f"unix://{tmp_path / 's'}"))
    server.close()


def test_documents_go_and_come(client: Client, seen: list[Request]):
    found = client.post(
        "/x", {"a": True, "b": False, "c": None, "d": ["1", "2"], "e": "ä b"}, {"k": [1, None, "é"]}
    )
    assert found == {"method": "POST", "body": '{"k":[1,null,"\\u00e9"]}'}
    assert seen[0].target == "/x?a=1&d=1&d=2&e=%C3%A4%20b"
    assert seen[0].headers["content-type"] == "application/json"


def test_a_body_of_pieces_goes_in_chunks(client: Client, seen: list[Request]):
    answer = client.open("PUT", "/x", None, iter([b"one", b"", b"two"]))
    assert json.loads(answer.read())["body"] == "onetwo"
    assert seen[0].headers["transfer-encoding"] == "chunked"


def test_a_refusal_is_in_the_daemons_words(client: Client):
    with pytest.raises(DaemonError, match=r"^No such thing: x$") as caught:
        client.get("/refused")
    assert (caught.value.code, caught.value.status) == (404, 1)
    with pytest.raises(DaemonError, match=r"<html>"):
        client.get("/odd")


def test_a_stream_of_documents_is_read_line_by_line(client: Client):
    assert list(client.lines("GET", "/lines")) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_connection_serves_several_requests_and_a_closed_one_is_replaced(
    client: Client, seen: list[Request]
):
    client.get("/one")
    client.get("/two")
    assert seen[0].sock is seen[1].sock
    client.get("/gone")
    assert client._idle is not None
    select.select([client._idle.sock], [], [], 60)
    assert client.get("/three")["method"] == "GET"
    assert seen[3].sock is not seen[2].sock


def test_filters_have_the_apis_form():
    assert json.loads(filters(["label=a=b", "label=c", "Status=exited"]) or "") == {
        "label": {"a=b": True, "c": True},
        "status": {"exited": True},
    }
    assert filters([]) is None
    with pytest.raises(CliError, match="exited"):
        filters(["exited"])


def test_a_query_leaves_out_what_is_nothing():
    assert pairs({"a": 0, "b": "", "c": None, "d": False}) == [("a", "0"), ("b", "")]
