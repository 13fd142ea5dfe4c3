"""`/containers/{id}/start`, `stop`, `kill`, `pause`, `wait` and the like."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from runtime.api.http.routing import Call, route
from runtime.api.http.streaming import while_connected
from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.model.request import Body, Query


class StartQuery(Query):
    """detachKeys: sent by old clients, ignored. checkpoint: not supported."""

    detach_keys: str = msgspec.field(default="", name="detachKeys")
    checkpoint: str = ""


@route("POST", "/containers/{id:.*}/start", query=StartQuery, status=204, also=(304, 400, 404, 409, 500))
async def start(call: Call[StartQuery, None]) -> None:
    """Start a container."""
    if call.query.checkpoint:
        raise BadParameterError("start from a checkpoint is not supported; start the container without one")
    await call.service.containers.start(call.path["id"])


class StopQuery(Query):
    """t: seconds until SIGKILL, -1: never, None: the container's own. signal: the one to send first."""

    t: int | None = None
    signal: str = ""


@route("POST", "/containers/{id:.*}/stop", query=StopQuery, status=204, also=(304, 400, 404))
async def stop(call: Call[StopQuery, None]) -> None:
    """Signal a container, and kill it if it does not end in time."""
    await call.service.containers.stop(call.path["id"], call.query.t, call.query.signal or None)


@route("POST", "/containers/{id:.*}/restart", query=StopQuery, status=204, also=(400, 404))
async def restart(call: Call[StopQuery, None]) -> None:
    """Stop a container if it runs, then start it."""
    await call.service.containers.restart(call.path["id"], call.query.t, call.query.signal or None)


class KillQuery(Query):
    """signal: by name or number."""

    signal: str = ""


@route("POST", "/containers/{id:.*}/kill", query=KillQuery, status=204, also=(400, 404, 409))
async def kill(call: Call[KillQuery, None]) -> None:
    """Send a signal to a container's program."""
    container_id = call.path["id"]
    try:
        await call.service.containers.kill(container_id, call.query.signal)
    except (NotFoundError, BadParameterError) as error:
        raise type(error)(f"cannot kill container: {container_id}: {error}") from error


@route("POST", "/containers/{id:.*}/pause", status=204, also=(404, 409))
async def pause(call: Call) -> None:
    """Freeze all processes of a container."""
    await call.service.containers.pause(call.path["id"])


@route("POST", "/containers/{id:.*}/unpause", status=204, also=(404, 409))
async def unpause(call: Call) -> None:
    """Resume all processes of a container."""
    await call.service.containers.unpause(call.path["id"])


class WaitQuery(Query):
    """condition: not-running, next-exit or removed."""

    condition: str = ""


class WaitFailure(Body):
    """Why waiting failed."""

    message: str


class WaitAnswer(Body):
    """How a container ended."""

    status_code: int
    error: WaitFailure | UnsetType = UNSET


@route("POST", "/containers/{id:.*}/wait", query=WaitQuery, answer=WaitAnswer, also=(400, 404))
async def wait(call: Call[WaitQuery, None]) -> web.StreamResponse:
    """Send the response's head at once, and the exit status when the container has ended."""
    future = call.service.containers.subscribe_wait(call.path["id"], call.query.condition or "not-running")
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        # Clients start the container once they have this head: from here on its end must not be missed.
        await response.prepare(call.request)
        ended = await while_connected(call.request, future)
    finally:
        future.cancel()
    answer = WaitAnswer(
        status_code=ended.code, error=WaitFailure(message=ended.error) if ended.error else UNSET
    )
    await response.write(msgspec.json.encode(answer) + b"\n")
    return response
