"""The registry's HTTP side: distribution-spec's endpoints as one aiohttp application.

One handler for each (kind, method) below; names of repositories have slashes, so paths are taken apart here.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from runtime.image.server import blob_routes, identifiers
from runtime.image.server.collect import GRACE_S, Collected, collect
from runtime.image.server.faults import FaultError, manifest_unknown
from runtime.image.server.gate import Gate
from runtime.image.server.manifests import LONGEST, OCI_INDEX
from runtime.image.server.registry_store import RegistryStore
from runtime.image.server.uploads import Uploads

_PATH = re.compile(
    r"/v2/(?P<name>.+)/(?P<kind>blobs/uploads|blobs|manifests|tags/list|referrers)(?:/(?P<rest>[^/]*))?"
)
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
_MOST_TAGS = 100
_EXPIRE_EVERY_S = 3600.0
log = logging.getLogger("ninetynine.registry")


class ResourcePath(NamedTuple):
    """What a path means: a repository, the kind of thing, and which one."""

    repository: str
    kind: str
    rest: str


class RegistryServer:
    """The registry of one store. Make it inside a running loop."""

    def __init__(self, store: RegistryStore, *, read_only: bool = False) -> None:
        self.store = store
        self.uploads = Uploads(store)
        self.gate = Gate()
        self.read_only = read_only

    # ---- manifests -------------------------------------------------------------------------------------

    async def get_manifest(self, request: web.Request, target: ResourcePath) -> web.StreamResponse:
        """GET, HEAD manifests/<tag or digest>."""
        digest, media_type, path = self.store.manifest(target.repository, _reference(target.rest))
        headers = {
            hdrs.CONTENT_TYPE: media_type,
            "Docker-Content-Digest": digest,
            hdrs.ETAG: f'"{digest}"',
        }
        if request.headers.get(hdrs.IF_NONE_MATCH, "").strip('"') == digest:
            return web.Response(status=304, headers=headers)
        try:
            return web.Response(body=path.read_bytes(), headers=headers)
        except FileNotFoundError:  # deleted since
            raise manifest_unknown(target.rest) from None

    async def put_manifest(self, request: web.Request, target: ResourcePath) -> web.StreamResponse:
        """PUT manifests/<tag or digest>[?tag=…]."""
        reference = _reference(target.rest)
        data = await _short_body(request)
        content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
        tags = tuple(identifiers.tag(tag) for tag in request.query.getall("tag", []))
        if len(tags) > _MOST_TAGS:
            raise FaultError(
                414, "UNSUPPORTED", f"{len(tags)} tags in one request; send at most {_MOST_TAGS}"
            )
        if identifiers.is_digest(reference):
            digest = identifiers.digest_of(data, reference.partition(":")[0])
            if digest != reference:
                raise FaultError(400, "DIGEST_INVALID", f"manifest has the digest {digest}, not {reference}")
        else:
            digest, tags = identifiers.digest_of(data), (*tags, reference)
        async with self.gate.shared():
            pushed = await asyncio.to_thread(
                self.store.put_manifest, target.repository, data, content_type, digest, tags
            )
        headers = {
            hdrs.LOCATION: f"/v2/{target.repository}/manifests/{digest}",
            "Docker-Content-Digest": digest,
        }
        if pushed.subject:
            headers["OCI-Subject"] = pushed.subject
        if request.query.getall("tag", []):
            headers["OCI-Tag"] = ", ".join(request.query.getall("tag"))
        return web.Response(status=201, headers=headers)

    async def delete_manifest(self, request: web.Request, target: ResourcePath) -> web.StreamResponse:
        """DELETE manifests/<tag or digest>: a tag alone, or a manifest with all its tags."""
        reference = _reference(target.rest)
        async with self.gate.shared():
            if identifiers.is_digest(reference):
                self.store.drop_manifest(target.repository, reference)
            else:
                self.store.known(target.repository)
                self.store.drop_tag(target.repository, reference)
        return web.Response(status=202)

    # ---- lists -----------------------------------------------------------------------------------------

    async def list_tags(self, request: web.Request, target: ResourcePath) -> web.StreamResponse:
        """GET tags/list[?n=&last=]."""
        path = f"/v2/{target.repository}/tags/list"
        tags, headers = _page(self.store.tags(target.repository), request, path)
        return _json({"name": target.repository, "tags": tags}, headers)

    async def list_referrers(self, request: web.Request, target: ResourcePath) -> web.StreamResponse:
        """GET referrers/<digest>[?artifactType=]: an index, empty when there are none."""
        found = [
            msgspec.json.decode(one)
            for one in self.store.referrers(target.repository, identifiers.digest(target.rest))
        ]
        headers: dict[str, str] = {hdrs.CONTENT_TYPE: OCI_INDEX}
        wanted = request.query.get("artifactType")
        if wanted:
            found = [one for one in found if one.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}, headers)

    async def catalog(self, request: web.Request) -> web.StreamResponse:
        """GET /v2/_catalog[?n=&last=], Docker's list of repositories."""
        found = await asyncio.to_thread(self.store.all_repositories)
        repositories, headers = _page(found, request, "/v2/_catalog")
        return _json({"repositories": repositories}, headers)

    # ---- upkeep ----------------------------------------------------------------------------------------

    async def collect(self, *, untagged: bool = False, grace_s: float = GRACE_S) -> Collected:
        """Remove what nothing needs; pushes wait meanwhile, pulls do not."""
        async with self.gate.alone():
            found = await asyncio.to_thread(collect, self.store, untagged=untagged, grace_s=grace_s)
        log.info("collected %d files, %d bytes", found.files, found.bytes)
        return found

    async def expire_for_ever(self) -> None:
        """Give up abandoned uploads, now and every hour."""
        while True:
            async with self.gate.shared():
                count = self.uploads.expire()
            if count:
                log.info("gave up %d abandoned uploads", count)
            await asyncio.sleep(_EXPIRE_EVERY_S)


Handler = Callable[[RegistryServer, web.Request, ResourcePath], Awaitable[web.StreamResponse]]

HANDLERS: dict[tuple[str, str], Handler] = {
    ("manifests", "GET"): RegistryServer.get_manifest,
    ("manifests", "HEAD"): RegistryServer.get_manifest,
    ("manifests", "PUT"): RegistryServer.put_manifest,
    ("manifests", "DELETE"): RegistryServer.delete_manifest,
    ("tags/list", "GET"): RegistryServer.list_tags,
    ("referrers", "GET"): RegistryServer.list_referrers,
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
    """The application."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            response = await _dispatch(registry, request)
        except FaultError as fault:
            headers = {**fault.headers, hdrs.CONTENT_TYPE: "application/json", **_VERSION}
            return web.Response(status=fault.status, body=fault.body(), headers=headers)
        except ConnectionError as error:  # who sent it has gone, and reads no answer
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

    @asynccontextmanager
    async def upkeep() -> AsyncIterator[None]:
        task = asyncio.create_task(registry.expire_for_ever())
        yield
        task.cancel()

    async def context(_: web.Application) -> AsyncIterator[None]:
        async with upkeep():
            yield

    app = web.Application(client_max_size=LONGEST + 1)
    app.router.add_route("*", "/{tail:.*}", answer)
    app.cleanup_ctx.append(context)
    return app


def make_runner(registry: RegistryServer) -> web.AppRunner:
    """Have it run. Bodies are taken as they come: a digest is that of the bytes that were sent."""
    return web.AppRunner(make_app(registry), access_log=None, auto_decompress=False)


async def _dispatch(registry: RegistryServer, request: web.Request) -> web.StreamResponse:
    if request.path in ("/v2", "/v2/"):
        _require(request.method, _READING, "the registry itself")
        return _json({})
    if request.path == "/v2/_catalog":
        _require(request.method, _READING, "the catalog")
        return await registry.catalog(request)
    target = parse(request.path)
    _require(request.method, _methods(target.kind), target.kind)
    handler = HANDLERS.get((target.kind, request.method)) or HANDLERS[target.kind, "GET"]
    if registry.read_only and request.method not in _READING:
        raise FaultError(405, "DENIED", "this registry is read-only")
    return await handler(registry, request, target)


def _methods(kind: str) -> list[str]:
    """What can be done with a kind of thing; what can be read has a head."""
    found = [method for one, method in HANDLERS if one == kind]
    return found if "HEAD" in found else [*found, "HEAD"]


def _require(method: str, possible: Sequence[str], what: str) -> None:
    if method not in possible:
        headers: dict[str, str] = {hdrs.ALLOW: ", ".join(possible)}
        raise FaultError(405, "UNSUPPORTED", f"{method} is not possible on {what}", headers=headers)


def parse(path: str) -> ResourcePath:
    """Take a path apart. Raises NAME_INVALID, or NAME_UNKNOWN for what is no path of a registry."""
    found = _PATH.fullmatch(path)
    if not found:
        raise FaultError(404, "NAME_UNKNOWN", f"{path[:200]!r} is no path of a registry")
    return ResourcePath(identifiers.repository(found["name"]), found["kind"], found["rest"] or "")


def _reference(text: str) -> str:
    return identifiers.digest(text) if identifiers.is_digest(text) else identifiers.tag(text)


async def _short_body(request: web.Request) -> bytes:
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        data = b"x" * (LONGEST + 1)
    if len(data) > LONGEST:
        raise FaultError(413, "MANIFEST_INVALID", f"manifest is longer than {LONGEST} bytes")
    return data


def _page(found: list[str], request: web.Request, path: str) -> tuple[list[str], dict[str, str]]:
    """The part of a sorted list that was asked for by `n` and `last`, and a Link to the next."""
    last = request.query.get("last")
    if last is not None:
        found = [one for one in found if one > last]
    if "n" not in request.query:
        return found, {}
    text = request.query["n"]
    if not (text.isascii() and text.isdigit()):
        raise FaultError(400, "UNSUPPORTED", f"n={text[:40]!r} is no number; leave it out for the whole list")
    count = int(text[:9])
    if count == 0 or count >= len(found):
        return found[:count], {}
    query = urlencode({"n": count, "last": found[count - 1]})
    return found[:count], {hdrs.LINK: f'<{path}?{query}>; rel="next"'}


def _json(document: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    given = {hdrs.CONTENT_TYPE: "application/json", **(headers or {})}
    return web.Response(body=msgspec.json.encode(document), headers=given)
