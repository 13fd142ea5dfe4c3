"""What a real daemon sends line by line, checked against the OpenAPI document."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator

from runtime.api.http.openapi import document
from runtime.api.http.routing import routes_of
from runtime.api.routes import route_modules
from tests.runtime.daemon_process import Daemon

pytestmark = pytest.mark.root
DOCUMENT = document(routes_of(route_modules()))


def lines(daemon: Daemon, asked: str, data: bytes = b"", most: int = 1000) -> Iterator[Any]:
    """The documents of an answer, at most so many."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(daemon.socket))
        head = f"{asked} HTTP/1.0\r\nHost: d\r\nContent-Type: application/x-tar\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        with connection.makefile("rb") as answer:
            assert b" 200 " in answer.readline()
            while answer.readline() != b"\r\n":
                pass
            for number, line in enumerate(answer, 1):
                yield json.loads(line)
                if number == most:
                    return


def check(method: str, path: str, documents: Iterator[Any]) -> list[Any]:
    """Hold each line to what is described of the operation; return them."""
    described = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**described, "components": DOCUMENT["components"]})
    found = list(documents)
    assert found
    for one in found:
        wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(one)]
        assert not wrong, (one, wrong)
    return found


def test_networks_are_listed_with_a_slash_too(daemon: Daemon):
    (found,) = check("get", "/networks/", lines(daemon, "GET /v1.45/networks/"))
    assert {one["Name"] for one in found} >= {"bridge", "host", "none"}


def test_events_are_as_described(daemon: Daemon):
    since = f"{time.time():.9f}"
    daemon.docker("network", "create", "net")
    daemon.docker("volume", "create", "vol")
    daemon.docker("run", "--rm", "--net", "net", "-v", "vol:/v", "-l", "a=b", "busybox", "true")
    daemon.docker("tag", "busybox", "other")
    daemon.docker("rmi", "other")
    daemon.docker("network", "rm", "net")
    daemon.docker("volume", "rm", "vol")
    found = check(
        "get", "/events", lines(daemon, f"GET /v1.45/events?since={since}&until=9999999999.5", most=14)
    )
    assert {"container", "network", "volume", "image"} == {one["Type"] for one in found}
    assert [one["timeNano"] for one in found] == sorted(one["timeNano"] for one in found)


def test_stats_are_as_described(daemon: Daemon):
    id_ = daemon.docker("run", "-d", "--stop-timeout", "0", "busybox", "sleep", "60").strip()
    path = "/containers/{id}/stats"
    check("get", path, lines(daemon, f"GET /containers/{id_}/stats", most=2))
    (one,) = check("get", path, lines(daemon, f"GET /containers/{id_}/stats?stream=0&one-shot=1"))
    assert one["networks"]["eth0"].keys() >= {"rx_bytes", "tx_bytes"}
    daemon.docker("rm", "-f", id_)
    id_ = daemon.docker("create", "busybox").strip()
    check("get", path, lines(daemon, f"GET /containers/{id_}/stats?stream=0"))
    daemon.docker("rm", "-f", id_)


def context(**files: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return target.getvalue()


@pytest.mark.parametrize("last", ["RUN echo out; echo err >&2", "RUN exit 3", "COPY none /"])
def test_a_builds_progress_is_as_described(daemon: Daemon, last: str):
    data = context(Dockerfile=f"FROM busybox\nENV A=b\n{last}\n")
    found = check("post", "/build", lines(daemon, "POST /build?t=made&forcerm=1", data))
    assert any("errorDetail" in one for one in found) == (last[-1] in "3/")
    if "errorDetail" not in found[-1]:
        daemon.docker("rmi", "made")


def test_the_progress_of_archives_is_as_described(daemon: Daemon):
    daemon.docker("tag", "busybox", "kept")
    saved = daemon.docker_run("save", "kept").stdout
    check("post", "/images/load", lines(daemon, "POST /images/load?quiet=0", saved))
    check("post", "/images/load", lines(daemon, "POST /images/load", saved))
    check("post", "/images/load", lines(daemon, "POST /images/load", b"x" * 1024))
    data = context(file="text")
    query = f"fromSrc=-&repo=made&changes={quote('CMD true')}"
    check("post", "/images/create", lines(daemon, f"POST /images/create?{query}", data))
    daemon.docker("rmi", "made", "kept")


def test_the_head_of_a_quiet_loads_answer_says_that_it_is_done(daemon: Daemon):
    daemon.docker("tag", "busybox", "kept")
    saved = daemon.docker_run("save", "kept").stdout
    daemon.docker("rmi", "kept")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(daemon.socket))
        head = f"POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: {len(saved)}\r\n\r\n"
        connection.sendall(head.encode() + saved)
        assert connection.recv(12) == b"HTTP/1.1 200"
    daemon.docker("rmi", "kept")


def test_the_daemon_describes_itself_as_documented(daemon: Daemon):
    for asked in ("info", "version"):
        check("get", f"/{asked}", lines(daemon, f"GET /{asked}"))
