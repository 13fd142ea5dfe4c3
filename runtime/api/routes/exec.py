"""`/exec`: further programs in running containers."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from runtime.api.http.hijack import Taken, take_over
from runtime.api.http.pumping import pump
from runtime.api.http.routing import Call, Raw, route
from runtime.api.routes.stdio import RAW, ResizeQuery, media_of
from runtime.api.views.documents import ExecAnswer
from runtime.docker_syntax.frames import frame
from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.service.containers.execs import ExecRequest, ExecStartRequest
from runtime.engine.service.model.request import Body


class ExecCreated(Body):
    """A new exec."""

    id: str


@route(
    "POST", "/containers/{id:.*}/exec", body=ExecRequest, answer=ExecCreated, status=201, also=(400, 404, 409)
)
async def create(call: Call[None, ExecRequest]) -> ExecCreated:
    """Create an exec: a program to be run in a running container."""
    return ExecCreated(id=await call.service.execs.create(call.path["id"], call.body))


@route(
    "POST", "/exec/{id}/start", body=ExecStartRequest, optional=True, answer=Raw, media=RAW,
    also=(101, 400, 404, 409),
)  # fmt: skip
async def start(call: Call[None, ExecStartRequest | None]) -> web.StreamResponse:
    """Start an exec. If attached, its output is sent as by attach, and so is an error of the start.

    The request's tty decides whether output is raw, whatever the exec was created with.
    """
    exec_id, request = call.path["id"], call.body or ExecStartRequest()
    execs = call.service.execs
    execs.tty(exec_id)  # raises if there is no such exec
    if request.detach:
        await execs.start(exec_id, request)
        return web.Response()
    if execs.inspect(exec_id)["Running"]:
        raise ConflictError(f"Error: Exec command {exec_id} is already running")
    # The head is sent first: clients that read it through a buffer would lose output that arrives with it.
    client = await take_over(call.request, media_of(request.tty, call.version))
    try:
        attachment = await execs.start(exec_id, request)
    except EngineError as error:
        text = f"{error}\r\n".encode()
        await client.send(text if request.tty else frame(1, text))
        return Taken(client)
    if attachment is not None:
        await pump(client, attachment, stdin=True, raw=request.tty)
    return Taken(client)


@route("GET", "/exec/{id}/json", answer=ExecAnswer, also=(404,))
async def inspect(call: Call) -> dict[str, Any]:
    """Inspect an exec."""
    return call.service.execs.inspect(call.path["id"])


@route("POST", "/exec/{id}/resize", query=ResizeQuery, also=(400, 404, 409))
async def resize(call: Call[ResizeQuery, None]) -> None:
    """Set the size of an exec's terminal."""
    await call.service.execs.resize(call.path["id"], call.query.h, call.query.w)
