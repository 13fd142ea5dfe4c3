"""The registry's aiohttp application: the endpoints of the distribution-spec.

Repository names contain slashes, so paths are parsed here and not by aiohttp's router.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from aiohttp import hdrs, web

from runtime.image.server import blob_routes, identifiers, manifest_routes
from runtime.image.server.faults import FaultError
from runtime.image.server.manifests import LONGEST
from runtime.image.server.registry import RegistryServer, ResourcePath

_PATH = re.compile(
    r"/v2/(?P<name>.+)/(?P<kind>blobs/uploads|blobs|manifests|tags/list|referrers)(?:/(?P<rest>[^/]*))?"
)
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
log = logging.getLogger("ninetynine.registry")

Handler = Callable[[RegistryServer, web.Request, ResourcePath], Awaitable[web.StreamResponse]]

HANDLERS: dict[tuple[str, str], Handler] = {
    ("manifests", "GET"): manifest_routes.get_manifest,
    ("manifests", "HEAD"): manifest_routes.get_manifest,
    ("manifests", "PUT"): manifest_routes.put_manifest,
    ("manifests", "DELETE"): manifest_routes.delete_manifest,
    ("tags/list", "GET"): manifest_routes.list_tags,
    ("referrers", "GET"): manifest_routes.list_referrers,
    ("blobs", "GET"): blob_routes.get_blob,
    ("blobs", "HEAD"): blob_routes.get_blob,
    ("blobs", "DELETE"): blob_routes.delete_blob,
    ("blobs/uploads", "POST"): blob_routes.begin_upload,
    ("blobs/uploads", "GET"): blob_routes.show_upload,
    ("blobs/uploads", "PATCH"): blob_routes.append_upload,
    ("blobs/uploads", "PUT"): blob_routes.finish_upload,
    ("blobs/uploads", "DELETE"): blob_routes.cancel_upload,
}
_READING = ("GET", "HEAD")


def make_app(registry: RegistryServer) -> web.Application:
    """Return the application."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            response = await _dispatch(registry, request)
        except FaultError as fault:
            headers = {**fault.headers, hdrs.CONTENT_TYPE: "application/json", **_VERSION}
            return web.Response(status=fault.status, body=fault.body(), headers=headers)
        except ConnectionError as error:  # the client has gone
            log.debug("%s %s: %s", request.method, request.path, error)
            return web.Response(status=400)
        except OSError as error:
            log.exception("%s %s", request.method, request.path)
            failed = FaultError(500, "UNSUPPORTED", f"the registry's disk: {error.strerror or error}")
            return web.Response(
                status=500, body=failed.body(), headers={hdrs.CONTENT_TYPE: "application/json"}
            )
        if not response.prepared:
            response.headers.update(_VERSION)
        return response

    async def upkeep(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(registry.expire_for_ever())
        yield
        task.cancel()

    app = web.Application(client_max_size=LONGEST + 1)
    app.router.add_route("*", "/{tail:.*}", answer)
    app.cleanup_ctx.append(upkeep)
    return app


def make_runner(registry: RegistryServer) -> web.AppRunner:
    """Return a runner. Bodies are not decompressed: a digest is that of the bytes sent."""
    return web.AppRunner(make_app(registry), access_log=None, auto_decompress=False)


async def _dispatch(registry: RegistryServer, request: web.Request) -> web.StreamResponse:
    if request.path in ("/v2", "/v2/"):
        _require(request.method, _READING, "the registry itself")
        return manifest_routes.json_response({})
    if request.path == "/v2/_catalog":
        _require(request.method, _READING, "the catalog")
        return await manifest_routes.catalog(registry, request)
    target = parse(request.path)
    _require(request.method, _methods(target.kind), target.kind)
    handler = HANDLERS.get((target.kind, request.method)) or HANDLERS[target.kind, "GET"]
    if registry.read_only and request.method not in _READING:
        raise FaultError(405, "DENIED", "this registry is read-only")
    return await handler(registry, request, target)


def _methods(kind: str) -> list[str]:
    """Return the methods of a kind of resource."""
    found = [method for one, method in HANDLERS if one == kind]
    return found if "HEAD" in found else [*found, "HEAD"]


def _require(method: str, possible: Sequence[str], what: str) -> None:
    if method not in possible:
        headers: dict[str, str] = {hdrs.ALLOW: ", ".join(possible)}
        raise FaultError(405, "UNSUPPORTED", f"{method} is not possible on {what}", headers=headers)


def parse(path: str) -> ResourcePath:
    """Parse a path. Raises NAME_INVALID, or NAME_UNKNOWN if it is not a registry's path."""
    found = _PATH.fullmatch(path)
    if not found:
        raise FaultError(404, "NAME_UNKNOWN", f"{path[:200]!r} is not a path of a registry")
    return ResourcePath(identifiers.repository(found["name"]), found["kind"], found["rest"] or "")
