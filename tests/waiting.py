"""Waiting for what happens by itself. Nothing is measured: a test that waits this long waits in vain."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE_S = 120.0
_SOMETHING = object()


def at_last(
    found: Callable[[], Any],
    wanted: object = _SOMETHING,
    *,
    every_s: float = 0.02,
    patience_s: float = PATIENCE_S,
) -> Any:
    """Look until what is found is `wanted` (or, if not given, true); return it, or what it is in the end."""
    deadline = time.monotonic() + patience_s
    while not _is(last := found(), wanted) and time.monotonic() < deadline:
        time.sleep(every_s)
    return last


def eventually(
    found: Callable[[], Any],
    wanted: object = _SOMETHING,
    *,
    child: subprocess.Popen[Any] | None = None,
    every_s: float = 0.02,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait until what is found is `wanted` (or, if not given, true), while `child` runs; else fail."""

    def look() -> Any:
        last = found()
        if child is not None and not _is(last, wanted):
            assert child.poll() is None, f"ended too early: {child.communicate()}"
        return last

    last = at_last(look, wanted, every_s=every_s, patience_s=patience_s)
    assert _is(last, wanted), f"{last!r} in the end" + ("" if wanted is _SOMETHING else f", not {wanted!r}")


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Let a test be a coroutine; one that hangs fails."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(200):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


def _is(found: object, wanted: object) -> bool:
    return bool(found) if wanted is _SOMETHING else found == wanted
