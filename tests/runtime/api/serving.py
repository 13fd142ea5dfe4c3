"""Serve the API on a unix socket and talk to it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from runtime.api.app import Api
from tests.runtime.api.fake_service import fake_service


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: d", f"Content-Length: {len(data)}"]
        if data and "Content_Type" not in headers:
            lines.append("Content-Type: application/json")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + data)

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.strip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, b"".join([chunk async for chunk in self.chunks()])
        return status, headers, b""

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline(), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def frame(self) -> tuple[int, bytes]:
        head = await self.reader.readexactly(8)
        return head[0], await self.reader.readexactly(int.from_bytes(head[4:], "big"))


class Served:
    """A running API."""

    def __init__(self, service: Any, path: Path) -> None:
        self.service, self.path = service, path
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        self.writers.append(writer)
        return Client(reader, writer)

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        client = await self.connect()
        await client.request(method, path, body, **headers)
        return await client.answer()


@contextlib.asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Served]:
    """Serve the fake service."""
    service = fake_service()
    api = Api(service)
    server = await asyncio.get_running_loop().create_unix_server(api, str(path))
    served = Served(service, path)
    try:
        async with asyncio.timeout(120):
            yield served
    finally:
        for writer in served.writers:
            writer.close()
        server.close()
        await api.shutdown(1)


def with_api(tmp_path: Path, body: Callable[[Served], Awaitable[None]]) -> None:
    """Run a coroutine against a served API."""

    async def run() -> None:
        async with serving(tmp_path / "s") as served:
            await body(served)

    asyncio.run(run())
