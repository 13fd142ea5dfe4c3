"""`/_ping`, `/version`, `/info`, `/openapi.json`: information about the daemon."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Any

import msgspec
from aiohttp import web

from runtime.api.http import versions
from runtime.api.http.compat import information
from runtime.api.http.errors import ApiError, ErrorBody
from runtime.api.http.openapi import document
from runtime.api.http.routing import Call, Raw, route, routes_of
from runtime.api.routes import route_modules
from runtime.engine.service.info import InfoAnswer
from runtime.engine.service.model.request import Body
from runtime.image.documents import architecture

_PING = {
    "Builder-Version": "1",  # of `docker build`: 1 is the classic one
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Content-Type": "text/plain; charset=utf-8",
}


@route("GET", "/_ping", answer=Raw, media="text/plain")
@route("HEAD", "/_ping", answer=Raw, media="text/plain")
async def ping(call: Call) -> web.StreamResponse:
    """Report that the daemon runs, and its API version."""
    return web.Response(body=b"OK", headers=_PING)


class PlatformName(Body):
    """Who made the daemon."""

    name: str


class Component(Body):
    """A component of the daemon."""

    name: str
    version: str
    details: dict[str, str]


class Version(Body, kw_only=True):
    """Versions. kernel_version: as `uname -r` prints it."""

    platform: PlatformName
    components: list[Component]
    version: str
    api_version: str
    min_api_version: str = msgspec.field(name="MinAPIVersion")
    git_commit: str = ""
    go_version: str = ""
    os: str = "linux"
    arch: str
    kernel_version: str
    experimental: bool
    build_time: str = ""


@route("GET", "/version", answer=Version)
async def version(call: Call) -> Version:
    """Return the versions of the daemon, the API and the kernel."""
    return _version(call.service.experimental)


@cache
def _version(experimental: bool) -> Version:
    kernel = os.uname().release
    newest, oldest = versions.text(versions.NEWEST), versions.text(versions.OLDEST)
    details = {
        "ApiVersion": newest,
        "Arch": architecture(),
        "BuildTime": "",
        "Experimental": str(experimental).lower(),
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "MinAPIVersion": oldest,
        "Os": "linux",
        "PythonVersion": platform.python_version(),
    }
    return Version(
        platform=PlatformName(name="ninetynine"),
        components=[Component(name="Engine", version=versions.program(), details=details)],
        version=versions.program(),
        api_version=newest,
        min_api_version=oldest,
        arch=details["Arch"],
        kernel_version=kernel,
        experimental=experimental,
    )


@route("GET", "/info", answer=InfoAnswer)
async def info(call: Call) -> InfoAnswer:
    """Return facts about the daemon and its host."""
    return information(call.service.info(), call.version)


@route("GET", "/openapi.json", answer=dict[str, Any])
async def openapi(call: Call) -> web.StreamResponse:
    """Return the OpenAPI document of this API, generated from its routes."""
    return web.Response(body=_openapi(), headers={"Content-Type": "application/json"})


@cache
def _openapi() -> bytes:
    return msgspec.json.format(msgspec.json.encode(document(routes_of(route_modules()))))


@route("POST", "/session", answer=ErrorBody, status=501)
@route("POST", "/grpc", answer=ErrorBody, status=501)
async def no_buildkit(call: Call) -> ErrorBody:
    """Refuse BuildKit."""
    raise ApiError("BuildKit is not supported: set DOCKER_BUILDKIT=0 for the classic builder", 501)
