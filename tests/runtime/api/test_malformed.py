"""Malformed HTTP gets an error or a closed connection, and other clients are not affected."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.api.http import hijack
from runtime.api.http.decoding import decode_query
from runtime.api.routes import build
from runtime.engine.errors import BadParameterError
from runtime.engine.service.build.options import BuildOptions
from tests.runtime.api.serving import Client, Served, with_api

CREATE = "POST /v1.45/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
WHOLE = f'{CREATE}Content-Length: 13\r\n\r\n{{"Image":"a"}}'.encode()


async def closed(client: Client) -> bytes:
    """What comes before the connection ends."""
    try:
        return await client.reader.read()
    except ConnectionError:
        return b""


async def is_alive(api: Served) -> bool:
    return (await api.ask("GET", "/_ping"))[0] == 200


@pytest.mark.parametrize("at", range(1, len(WHOLE), 7))
def test_a_request_cut_anywhere_is_forgotten(tmp_path: Path, at: int):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.send(WHOLE[:at])
        client.writer.write_eof()
        said = await closed(client)
        assert not said or said.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert not [call for call in api.service.containers.calls if call[0] == "create"]
        assert await is_alive(api)

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /info HTTP/1.1\r\nHost: d\r\nX: {'x' * (3 << 20)}\r\n\r\n",
        f"GET /info?x={'x' * (3 << 20)} HTTP/1.1\r\nHost: d\r\n\r\n",
        f"{'G' * (3 << 20)}",
        "GET /info HTTP/1.1\r\n" + "".join(f"X-{n}: y\r\n" for n in range(200_000)) + "\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nX: a\0b\r\n\r\n",
        "GET /%zz/%00/../info HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n",
        "GET /info HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        f"{CREATE}Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"{CREATE}Content-Length: 13\r\nContent-Length: 14\r\n\r\n" + '{"Image":"a"} ',
        f"{CREATE}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"{CREATE}Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n",
        f"{CREATE}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx\r\n",
        f"{CREATE}Transfer-Encoding: chunked\r\n\r\n3\r\nxxxxxxxxxxxxxxx\r\n0\r\n\r\n",
        f"{CREATE}Transfer-Encoding: gzip\r\n\r\nxxx",
        f"{CREATE}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxxx",
    ],
    ids=str,
)
def test_a_lie_in_the_head_or_the_framing_is_refused(tmp_path: Path, sent: str):
    async def body(api: Served) -> None:
        client = await api.connect()
        try:
            await client.send(sent)
            client.writer.write_eof()
        except ConnectionError:
            pass  # refused before all of it was sent
        said = await closed(client)
        assert not said or said.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), said[:300]
        assert not [call for call in api.service.containers.calls if call[0] == "create"]
        assert await is_alive(api)

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("data", "media", "status"),
    [
        (b'{"Labels":' * 10_000 + b"{}" + b"}" * 10_000, "application/json", 400),
        (b'{"HostConfig": {"Mounts": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}", "application/json", 400),
        (b'{"Image": "a"}', "text/plain", 400),
        (b'{"Image": "a"}', "application/x-tar", 400),
        (b'{"Image": "a"}', "application/json; charset=nonsense", 201),
        (b'{"Image": "a"} trailing', "application/json", 400),
        (b'\xef\xbb\xbf{"Image": "a"}', "application/json", 400),
        (b'{"Image": "\xff\xfe"}', "application/json", 400),
        (b'{"Image": "a", "StopTimeout": 1e999}', "application/json", 400),
        (b'{"Image": "a", "StopTimeout": 99999999999999999999}', "application/json", 400),
        (b'{"Image": ["a"]}', "application/json", 400),
        (b"null", "application/json", 400),
        (b'{"\x80": "\x80"}', "application/json", 400),
    ],
    ids=range(13),
)
def test_what_is_not_a_body_is_refused(tmp_path: Path, data: bytes, media: str, status: int):
    async def body(api: Served) -> None:
        found, _, answer = await api.ask("POST", "/containers/create", data, Content_Type=media)
        assert found == status, answer
        if status != 201:
            assert json.loads(answer)["message"]

    with_api(tmp_path, body)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, len(WHOLE)), gone=st.integers(0, 20), more=st.binary(max_size=40), end=st.booleans())
def test_no_mutation_of_a_request_ends_the_daemon(tmp_path: Path, at: int, gone: int, more: bytes, end: bool):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.send(WHOLE[:at] + more + WHOLE[at + gone :])
        if end:
            client.writer.write_eof()
            said = await closed(client)
            assert b"HTTP/1.1 5" not in said
        assert await is_alive(api)

    with_api(tmp_path, body)


def test_those_who_trickle_are_closed_and_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def body(api: Served) -> None:
        monkeypatch.setattr(hijack, "HEAD_S", 0.3)
        slow = [await api.connect() for _ in range(100)]
        ended = [asyncio.ensure_future(closed(one)) for one in slow]
        for letter in "GET /in":
            for one in slow:
                with contextlib.suppress(ConnectionError):  # it may be closed already
                    await one.send(letter)
            assert await is_alive(api)
        assert await asyncio.gather(*ended) == [b""] * 100

    with_api(tmp_path, body)


def test_a_request_that_is_whole_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def body(api: Served) -> None:
        monkeypatch.setattr(hijack, "HEAD_S", 0.05)
        client = await api.connect()
        await client.send(WHOLE[:-5])
        await asyncio.sleep(0.3)
        await client.send(WHOLE[-5:])
        assert (await client.answer())[0] == 201
        await asyncio.sleep(0.3)  # idle between two requests
        await client.request("GET", "/_ping")
        assert (await client.answer())[0] == 200

    with_api(tmp_path, body)


def test_a_build_setting_nested_without_end_is_refused():
    nested = b'{"x":' + b"[" * 100_000
    assert build._credentials(base64.b64encode(nested).decode()) == {}
    with pytest.raises(BadParameterError, match="invalid query: ulimits"):
        decode_query(BuildOptions, {"ulimits": [f"[{nested.decode()}"]})
