from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.backends.base import BackendError
from bench.backends.daemons.docker_api import AttachedOutput, DockerApi

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@contextmanager
def daemon(path: Path, *pieces: bytes) -> Iterator[DockerApi]:
    """A server on a unix socket that answers one request with `pieces`, one send each."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    yield DockerApi(path)
    thread.join()
    server.close()


def test_an_answer_is_decoded(tmp_path: Path) -> None:
    with daemon(tmp_path / "s", b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"Id":"a"}') as api:
        assert api.ask("GET", "/x") == {"Id": "a"}


def test_a_refusal_carries_the_daemons_words(tmp_path: Path) -> None:
    body = b'{"message":"no such image"}'
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with daemon(tmp_path / "s", answer) as api, pytest.raises(BackendError, match="POST /y: no such image"):
        api.ask("POST", "/y")


def test_no_daemon_is_a_clear_error(tmp_path: Path) -> None:
    api = DockerApi(tmp_path / "nobody")
    assert not api.alive()
    with pytest.raises(BackendError, match=re.escape(str(api.path))):
        api.ask("GET", "/version")


def test_errors_come_before_the_first_output_and_are_kept(tmp_path: Path) -> None:
    whole = UPGRADED + frame(2, b"warning\n") + frame(1, b"1")
    with daemon(tmp_path / "s", *(whole[i : i + 7] for i in range(0, len(whole), 7))) as api:
        output = AttachedOutput(api, "c")
        assert output.first_output(5) is not None
        assert bytes(output.errors) == b"warning\n"
        output.close()


def test_an_end_without_output_is_none(tmp_path: Path) -> None:
    with daemon(tmp_path / "s", UPGRADED, frame(2, b"oops")) as api:
        output = AttachedOutput(api, "c")
        assert output.first_output(5) is None
        assert bytes(output.errors) == b"oops"
        output.close()
