"""Every route of a real daemon with nonsense: an error in Docker's form, nothing done, no bug."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from runtime.api.http.openapi import document
from runtime.api.http.routing import routes_of
from runtime.api.routes import route_modules
from tests.runtime.daemon_process import Daemon, running_daemon

pytestmark = pytest.mark.root

JSON = "application/json"
NAMES = ("nothing", "..%2f..%2fetc", "%00", "a" * 5000, "%ff%fe", "x'%22%3Cy", "-1")
BODIES = (
    (b"", JSON),
    (b"{", JSON),
    (b"[]", JSON),
    (b'"x"', JSON),
    (b'{"": null, "Image": 7, "Cmd": {}, "HostConfig": []}', JSON),
    (b'{"x":' * 10_000, JSON),
    (b"\xff\xfe\x00", JSON),
    (b'{"Image": "busybox"', "text/plain"),
    (b"\x1f\x8b\x08nonsense", "application/x-tar"),
    (b"ustar" * 500, "application/x-tar"),
)
VALUES = ("", "-1", "x", "99999999999999999999", "1e9", "%ff", "[", '{"a":', "[[[[", "%00", "..%2f..%2fetc")
ELSEWHERE = {
    "/nn/run", "/events",  # without an end: see test_streams
    "/auth", "/images/create", "/images/search", "/images/{name}/push", "/distribution/{name}/json",  # a hub
}  # fmt: skip


@pytest.fixture(scope="module")
def own() -> Iterator[Daemon]:
    with running_daemon(checked=False) as daemon:
        yield daemon


def operations() -> list[tuple[str, str, list[str]]]:
    paths = document(routes_of(route_modules()))["paths"]
    return [
        (method.upper(), path, [one["name"] for one in told.get("parameters", ()) if one["in"] == "query"])
        for path, methods in paths.items()
        for method, told in methods.items()
        if path not in ELSEWHERE
    ]


def ask(daemon: Daemon, method: str, path: str, data: bytes = b"", media: str = JSON) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(daemon.socket))
        head = f"{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: {media}\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    top, _, body = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), body


def path_of(path: str, name: str) -> str:
    return path.replace("{id}", name).replace("{name}", name)


def check(daemon: Daemon, method: str, path: str, status: int, body: bytes) -> None:
    """What the daemon did not foresee leaves a traceback in its log."""
    assert status < 500 or "Traceback" not in daemon.log.read_text(), (method, path, body)
    if status >= 400 and method != "HEAD":
        assert json.loads(body)["message"], (method, path)


def test_names_of_nothing(own: Daemon):
    for method, path, _ in operations():
        for name in NAMES if "{" in path else ():
            asked = path_of(path, name)
            status, body = ask(own, method, asked)
            check(own, method, asked, status, body)
            assert status >= 300, (method, asked, body)


def test_bodies_of_nothing(own: Daemon):
    for method, path, _ in operations():
        for data, media in BODIES if method in ("POST", "PUT") and not path.endswith("prune") else ():
            asked = path_of(path, "busybox")
            check(own, method, asked, *ask(own, method, asked, data, media))


def test_values_of_nothing(own: Daemon):
    for method, path, names in operations():
        if path.endswith("/prune"):
            continue
        for name in names:
            for value in VALUES:
                asked = f"{path_of(path, 'nothing')}?{name}={value}"
                check(own, method, asked, *ask(own, method, asked))


def test_afterwards_all_is_as_it_was(own: Daemon):
    assert own.docker("ps", "-aq") == ""
    assert own.docker("run", "--rm", "busybox", "echo", "alive") == "alive\n"
    assert "Traceback" not in own.log.read_text()
