"""The source of a streamed response ends at once when it can no longer be sent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from runtime.api.http.streaming import first_of, send_json_lines


@pytest.mark.parametrize("where", ["prepare", "write"])
@pytest.mark.parametrize("waited_for", [False, True])
def test_a_source_ends_with_its_client(monkeypatch: pytest.MonkeyPatch, where: str, waited_for: bool) -> None:
    ended = []

    async def source() -> AsyncIterator[dict[str, int]]:
        try:
            for number in range(10):
                yield {"n": number}
        finally:
            ended.append(True)

    async def broken(*_: Any) -> None:
        raise ConnectionResetError

    async def story() -> None:
        documents = source()
        if waited_for or where == "prepare":
            documents = await first_of(documents)
        with pytest.raises(ConnectionResetError):
            await send_json_lines(make_mocked_request("GET", "/"), documents)
        assert ended

    monkeypatch.setattr(web.StreamResponse, where, broken)
    gc.disable()
    try:
        asyncio.run(story())
    finally:
        gc.enable()
