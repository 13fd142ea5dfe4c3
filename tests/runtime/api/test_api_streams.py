from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from runtime.engine.errors import StartFailedError
from runtime.engine.service.records.waiters import Ended
from tests.runtime.api.fake_service import EXEC, ID
from tests.runtime.api.serving import Client, Served, with_api

UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"


async def attached(api: Served, query: str = "stream=1&stdin=1&stdout=1", **headers: str) -> Client:
    client = await api.connect()
    await client.request("POST", f"/containers/web/attach?{query}", **headers)
    return client


def test_attach_upgrades_and_a_half_close_ends_the_input_only(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await attached(api, **UPGRADE)
        status, headers = await client.head()
        assert (status, headers["content-type"], headers["upgrade"]) == (101, MULTIPLEXED, "tcp")
        assert await client.frame() == (1, b"hello")
        await client.send(b"typed")
        assert await client.frame() == (1, b"typed")
        client.writer.write_eof()
        assert await client.frame() == (1, b"bye")
        assert await client.reader.read() == b""
        assert api.service.streams.attachments[0].closed

    with_api(tmp_path, body)


def test_who_ends_the_input_with_the_request_gets_its_answer(tmp_path: Path):
    async def body(api: Served) -> None:
        for _ in range(20):
            client = await api.connect()
            await client.send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            client.writer.write_eof()
            assert (await client.reader.read()).endswith(b"OK")
            client = await attached(api, **UPGRADE)
            client.writer.write_eof()
            assert (await client.head())[0] == 101
            assert await client.frame() == (1, b"hello")
            assert await client.frame() == (1, b"bye")
            assert await client.reader.read() == b""

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("tty", "prefix", "headers", "status", "media"),
    [
        (False, "/v1.41", UPGRADE, 101, RAW),
        (False, "/v1.42", UPGRADE, 101, MULTIPLEXED),
        (True, "/v1.45", UPGRADE, 101, RAW),
        (False, "/v1.45", {}, 200, RAW),
    ],
)
def test_the_head_of_an_attach_depends_on_what_was_asked(
    tmp_path: Path, tty: bool, prefix: str, headers: dict[str, str], status: int, media: str
):
    async def body(api: Served) -> None:
        import msgspec

        containers = api.service.containers
        config = msgspec.structs.replace(containers.record.config, tty=tty)
        containers.record = msgspec.structs.replace(containers.record, config=config)
        api.service.streams.tty = tty
        client = await api.connect()
        await client.request("POST", f"{prefix}/containers/web/attach?stream=1&stdout=1", **headers)
        found, head = await client.head()
        assert (found, head["content-type"]) == (status, media)
        if tty:
            assert await client.reader.readexactly(5) == b"hello"
        else:
            assert await client.frame() == (1, b"hello")

    with_api(tmp_path, body)


def test_a_client_that_goes_is_detached(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await attached(api, **UPGRADE)
        await client.head()
        client.writer.transport.abort()
        (attachment,) = api.service.streams.attachments
        await attachment.write(b"x" * (1 << 20))  # what nobody reads any more
        while not attachment.closed:
            await asyncio.sleep(0.01)

    with_api(tmp_path, body)


def test_a_client_that_does_not_read_holds_the_program_back(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await attached(api, **UPGRADE)
        await client.head()
        (attachment,) = api.service.streams.attachments
        for _ in range(200):
            await attachment.write(b"x" * (1 << 16))
        await asyncio.sleep(0.2)
        assert attachment._queue.qsize() > 100
        client.writer.write_eof()
        total = 0
        while (found := await client.frame())[1] != b"bye":
            total += len(found[1])
        assert total == 5 + 200 * (1 << 16)

    with_api(tmp_path, body)


def test_wait_sends_its_head_before_the_end(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("POST", "/v1.45/containers/web/wait?condition=next-exit")
        assert (await client.head())[0] == 200
        assert api.service.containers.calls[-1] == ("wait", "web", "next-exit")
        api.service.containers.end.set_result(Ended(3, "it would not go"))
        answer = json.loads(b"".join([chunk async for chunk in client.chunks()]))
        assert answer == {"StatusCode": 3, "Error": {"Message": "it would not go"}}

    with_api(tmp_path, body)


def test_a_wait_whose_client_goes_is_forgotten(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("POST", "/containers/web/wait")
        await client.head()
        client.writer.close()
        while not api.service.containers.end.cancelled():
            await asyncio.sleep(0.01)

    with_api(tmp_path, body)


def test_logs_come_in_frames_and_a_follower_that_goes_stops_them(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("GET", "/containers/web/logs?stdout=1&stderr=1&follow=1")
        status, headers = await client.head()
        assert (status, headers["content-type"]) == (200, MULTIPLEXED)
        chunks = client.chunks()
        assert await anext(chunks) == b"\1\0\0\0\0\0\0\4out\n"
        assert await anext(chunks) == b"\2\0\0\0\0\0\0\4err\n"
        await api.service.streams.following.wait()
        assert not api.service.streams.stopped.is_set()
        client.writer.close()
        await api.service.streams.stopped.wait()

    with_api(tmp_path, body)


def test_an_error_in_the_middle_cuts_the_answer_off(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("GET", "/containers/web/logs?stdout=1&tail=13")
        await client.head()
        data = await client.reader.read()
        assert b"err" in data
        assert not data.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"

    with_api(tmp_path, body)


def test_events_come_as_they_happen(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("GET", '/events?filters={"event":["start"]}')
        await client.head()
        for action in ("create", "start"):
            api.service.events.publish("container", action, ID, {"name": "web"})
        event = json.loads(await anext(client.chunks()))
        assert (event["status"], event["id"], event["Type"]) == ("start", ID, "container")

    with_api(tmp_path, body)


def test_exec_reports_in_its_stream_why_it_could_not_start(tmp_path: Path):
    async def body(api: Served) -> None:
        api.service.execs.fails = True
        client = await api.connect()
        await client.request("POST", f"/exec/{EXEC}/start", {"Detach": False}, **UPGRADE)
        assert (await client.head())[0] == 101
        assert await client.frame() == (1, b"exec: no such file\r\n")
        assert await client.reader.read() == b""

    with_api(tmp_path, body)


def test_exec_starts_attached_and_detached(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await api.connect()
        await client.request("POST", f"/exec/{EXEC}/start", {}, **UPGRADE)
        await client.head()
        assert await client.frame() == (1, b"hello")
        assert (await api.ask("POST", f"/exec/{EXEC}/start", {"Detach": True}))[0] == 200
        assert (await api.ask("POST", "/exec/none/start", {}))[0] == 404
        api.service.execs.running = True
        assert (await api.ask("POST", f"/exec/{EXEC}/start", {}))[0] == 409

    with_api(tmp_path, body)


def nn_frame(kind: int, payload: bytes) -> bytes:
    return bytes((kind, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload


async def run_of(api: Served, **create: object) -> Client:
    client = await api.connect()
    sent = {"Name": "x", "Create": {"Image": "a", "AttachStdin": True, "AttachStdout": True, **create}}
    await client.request("POST", "/nn/run", sent, Connection="Upgrade", Upgrade="nn-run")
    return client


def test_a_whole_run_is_one_exchange(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await run_of(api, HostConfig={"AutoRemove": True})
        status, headers = await client.head()
        assert (status, headers["nn-container"]) == (101, ID)
        assert await client.frame() == (1, b"hello")
        typed = nn_frame(0, b"typed")
        await client.send(typed[:3])
        await client.send(typed[3:] + nn_frame(5, b"\2") + nn_frame(6, b"\0\x18\0\x50") + nn_frame(0, b""))
        assert await client.frame() == (1, b"typed")
        assert await client.frame() == (1, b"bye")
        api.service.containers.end.set_result(Ended(7))
        kind, payload = await client.frame()
        assert (kind, json.loads(payload)) == (4, {"StatusCode": 7, "Error": ""})
        assert await client.reader.read() == b""
        calls = api.service.containers.calls
        assert ("wait", ID, "removed") in calls
        assert ("kill", ID, "2") in calls
        assert ("resize", ID, 24, 80) in calls

    with_api(tmp_path, body)


def test_a_run_that_cannot_start_is_an_error_and_leaves_nothing(tmp_path: Path):
    async def body(api: Served) -> None:
        api.service.containers.start_error = StartFailedError("no such program", 127)
        client = await run_of(api, HostConfig={"AutoRemove": True})
        status, _, data = await client.answer()
        assert (status, json.loads(data)) == (400, {"message": "no such program"})
        assert api.service.containers.calls[-1][:2] == ("remove", ID)
        assert api.service.streams.attachments[0].closed
        assert api.service.containers.end.cancelled()

    with_api(tmp_path, body)


def test_a_run_whose_client_goes_leaves_the_container_alone(tmp_path: Path):
    async def body(api: Served) -> None:
        client = await run_of(api)
        await client.head()
        client.writer.transport.abort()
        (attachment,) = api.service.streams.attachments
        await attachment.write(b"x" * (1 << 20))
        while not attachment.closed:
            await asyncio.sleep(0.01)
        assert not [call for call in api.service.containers.calls if call[0] in ("kill", "remove", "stop")]

    with_api(tmp_path, body)


def test_a_websocket_is_attached_raw(tmp_path: Path):
    async def body(api: Served) -> None:
        connector = aiohttp.UnixConnector(str(api.path))
        async with aiohttp.ClientSession(connector=connector) as session:
            url = "http://d/v1.45/containers/web/attach/ws?stream=1&stdin=1&stdout=1"
            async with session.ws_connect(url) as socket:
                assert await socket.receive_bytes() == b"hello"
                await socket.send_bytes(b"typed")
                assert await socket.receive_bytes() == b"typed"
                await socket.send_str("more")
                assert await socket.receive_bytes() == b"more"
                (attachment,) = api.service.streams.attachments
                await attachment.close_stdin()
                assert await socket.receive_bytes() == b"bye"
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            async with session.get("http://d/containers/none/attach/ws") as answer:
                assert answer.status == 404
            async with session.get("http://d/containers/web/attach/ws?stream=1") as answer:
                assert answer.status == 400
        while not all(one.closed for one in api.service.streams.attachments):
            await asyncio.sleep(0.01)

    with_api(tmp_path, body)
