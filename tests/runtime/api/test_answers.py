from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.api.http.versions import NEWEST, text
from tests.runtime.api.fake_service import ID
from tests.runtime.api.serving import Served, with_api


def test_every_answer_names_the_version_and_the_system(tmp_path: Path):
    async def body(api: Served) -> None:
        for asked in ("HEAD /_ping", "GET /_ping", "GET /nowhere", "GET /events?until=1"):
            client = await api.connect()
            await client.request(*asked.split(" "))
            _, headers = await client.head()
            assert headers["api-version"] == text(NEWEST)
            assert headers["ostype"] == "linux"
            assert headers["docker-experimental"] == "false"
            assert headers["server"].startswith("Docker/")

    with_api(tmp_path, body)


def test_options_of_any_path_have_an_empty_answer(tmp_path: Path):
    async def body(api: Served) -> None:
        for path in ("/", "/v1.45/containers/json", "/nowhere"):
            assert (await api.ask("OPTIONS", path))[::2] == (200, b"")

    with_api(tmp_path, body)


def test_ping_is_what_clients_negotiate_by(tmp_path: Path):
    async def body(api: Served) -> None:
        status, headers, data = await api.ask("GET", "/v1.24/_ping")
        assert (status, data) == (200, b"OK")
        assert headers["builder-version"] == "1"
        assert headers["swarm"] == "inactive"
        assert headers["content-type"].startswith("text/plain")

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "message"),
    [
        ("GET", "/nowhere", None, 404, "page not found"),
        ("PATCH", "/info", None, 404, "page not found"),
        ("GET", "/v1.99/info", None, 400, "too new"),
        ("GET", "/containers/none/json", None, 404, "No such container: none"),
        ("POST", "/containers/create", b"{", 400, "invalid JSON"),
        ("POST", "/containers/create", None, 400, "got EOF"),
        ("POST", "/containers/create", {"HostConfig": {}}, 400, "config cannot be empty"),
        ("POST", "/containers/create?name=taken", {"Image": "a"}, 409, "Conflict"),
        ("POST", "/containers/web/pause", None, 500, "a bug of ours"),
        ("GET", "/containers/json?limit=x", None, 400, "limit"),
        ("GET", "/containers/web/logs", None, 400, "you must choose at least one stream"),
        ("GET", '/events?filters={"color":"red"}', None, 400, "invalid filters"),
        ("GET", "/containers/web/archive", None, 400, "missing path"),
        ("POST", "/images/create?fromImage=a&platform=foobar", None, 400, "unknown operating system"),
        ("POST", "/build?platform=windows", None, 400, "operating system is not supported"),
        ("POST", "/images/create?fromSrc=-&platform=macos/arm64", None, 400, "system is not supported"),
        ("POST", "/images/create?fromSrc=-&platform=/", None, 400, "is an invalid component"),
        ("GET", "/swarm", None, 503, "This node is not a swarm manager"),
        ("GET", "/services/web/logs?follow=1", None, 503, "This node is not a swarm manager"),
        ("POST", "/swarm/leave", None, 503, "This node is not part of a swarm"),
        ("PUT", "/volumes/data", {}, 503, "This node is not a swarm manager"),
        ("POST", "/plugins/pull?remote=x", [], 501, "plugins are not supported"),
        ("GET", "/plugins/a/b:c/json", None, 404, 'plugin "a/b:c" not found'),
        ("DELETE", "/plugins/x", None, 404, 'plugin "x" not found'),
        ("POST", "/session", None, 501, "DOCKER_BUILDKIT=0"),
    ],
)
def test_an_error_is_a_message_with_dockers_status(
    tmp_path: Path, method: str, path: str, sent: object, status: int, message: str
):
    async def body(api: Served) -> None:
        found, headers, data = await api.ask(method, path, sent)
        assert found == status
        assert headers["content-type"] == "application/json"
        assert message in json.loads(data)["message"]

    with_api(tmp_path, body)


def test_not_modified_has_no_body_and_the_connection_stays(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("POST", "/containers/web/stop?t=-1&signal=INT")
        status, _, data = await client.answer()
        assert (status, data) == (304, b"")
        assert api.service.containers.calls[-1] == ("stop", "web", -1, "INT")
        await client.request("POST", "/containers/web/start")
        assert (await client.head())[0] == 204

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /info HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: many\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
)
def test_what_is_not_http_is_refused_and_the_daemon_lives(tmp_path: Path, sent: bytes):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.send(sent)
        status, headers, data = await client.answer()
        assert status == 400
        assert headers["content-type"].startswith("application/json")
        assert json.loads(data)["message"]
        assert (await api.ask("GET", "/_ping"))[0] == 200

    with_api(tmp_path, body)


def test_a_body_has_a_limit(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.send(
            "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        for _ in range(20):
            await client.send(piece)
        await client.send("0\r\n\r\n")
        status, _, data = await client.answer()
        assert status == 413
        assert "larger than" in json.loads(data)["message"]

    with_api(tmp_path, body)


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.send(
            "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
            "Content-Length: 13\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await client.head())[0] == 100
        await client.send('{"Image":"a"}')
        assert (await client.answer())[0] == 201

    with_api(tmp_path, body)


def test_the_list_has_dockers_fields(tmp_path: Path):
    async def body(api: Served) -> None:
        _, _, data = await api.ask("GET", '/v1.45/containers/json?all=1&filters={"label":["a"]}&before=x')
        (row,) = json.loads(data)
        assert row.keys() == {
            "Id", "Names", "Image", "ImageID", "Command", "Created", "Ports", "Labels", "State", "Status",
            "HostConfig", "NetworkSettings", "Mounts",
        }  # fmt: skip
        assert row["Names"] == ["/web"]
        assert row["Command"] == "sh -c 'sleep 5'"
        assert row["Ports"] == [{"PrivatePort": 80, "Type": "tcp"}]
        assert row["Created"] == 1769860800
        assert api.service.containers.calls[-1][1]["filters"] == {"label": ["a"], "before": ["x"]}

    with_api(tmp_path, body)


def test_the_document_has_dockers_fields(tmp_path: Path):
    async def body(api: Served) -> None:
        _, _, data = await api.ask("GET", f"/containers/{ID[:12]}/json")
        found = json.loads(data)
        assert found["State"]["Running"] is True
        assert found["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
        assert found["NetworkSettings"]["IPAddress"] == "10.9.0.2"
        assert found["NetworkSettings"]["Ports"] == {"80/tcp": None}
        assert found["GraphDriver"]["Data"]["LowerDir"] == "/high:/low"
        assert "Healthcheck" not in found["Config"]
        assert found["HostConfig"]["Binds"] is None

    with_api(tmp_path, body)
