"""Handlers for manifests and for the lists of tags, referrers and repositories."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from runtime.image.documents import INDEX
from runtime.image.server import identifiers
from runtime.image.server.faults import FaultError, manifest_unknown
from runtime.image.server.manifests import LONGEST
from runtime.image.server.registry import RegistryServer, ResourcePath

_MOST_TAGS = 100


async def get_manifest(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """GET, HEAD manifests/<tag or digest>."""
    digest, media_type, path = registry.store.manifest(target.repository, _reference(target.rest))
    headers = {
        hdrs.CONTENT_TYPE: media_type,
        "Docker-Content-Digest": digest,
        hdrs.ETAG: f'"{digest}"',
    }
    if request.headers.get(hdrs.IF_NONE_MATCH, "").strip('"') == digest:
        return web.Response(status=304, headers=headers)
    try:
        return web.Response(body=path.read_bytes(), headers=headers)
    except FileNotFoundError:  # deleted meanwhile
        raise manifest_unknown(target.rest) from None


async def put_manifest(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """PUT manifests/<tag or digest>[?tag=…]."""
    reference = _reference(target.rest)
    data = await _short_body(request)
    content_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    tags = tuple(identifiers.tag(tag) for tag in request.query.getall("tag", []))
    if len(tags) > _MOST_TAGS:
        raise FaultError(414, "UNSUPPORTED", f"{len(tags)} tags in one request; send at most {_MOST_TAGS}")
    if identifiers.is_digest(reference):
        digest = identifiers.digest_of(data, reference.partition(":")[0])
        if digest != reference:
            raise FaultError(400, "DIGEST_INVALID", f"manifest has the digest {digest}, not {reference}")
    else:
        digest, tags = identifiers.digest_of(data), (*tags, reference)
    async with registry.gate.shared():
        pushed = await asyncio.to_thread(
            registry.store.put_manifest, target.repository, data, content_type, digest, tags
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


async def delete_manifest(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """DELETE manifests/<tag or digest>: a tag alone, or a manifest with all its tags."""
    reference = _reference(target.rest)
    async with registry.gate.shared():
        if identifiers.is_digest(reference):
            registry.store.drop_manifest(target.repository, reference)
        else:
            registry.store.require(target.repository)
            registry.store.drop_tag(target.repository, reference)
    return web.Response(status=202)


# ---- lists ----------------------------------------------------------------------------------------------


async def list_tags(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """GET tags/list[?n=&last=]."""
    path = f"/v2/{target.repository}/tags/list"
    tags, headers = _page(registry.store.tags(target.repository), request, path)
    return json_response({"name": target.repository, "tags": tags}, headers)


async def list_referrers(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """GET referrers/<digest>[?artifactType=]: an index, empty when there are none."""
    found = [
        msgspec.json.decode(referrer)
        for referrer in registry.store.referrers(target.repository, identifiers.digest(target.rest))
    ]
    headers: dict[str, str] = {hdrs.CONTENT_TYPE: INDEX}
    wanted = request.query.get("artifactType")
    if wanted:
        found = [one for one in found if one.get("artifactType") == wanted]
        headers["OCI-Filters-Applied"] = "artifactType"
    return json_response({"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, headers)


async def catalog(registry: RegistryServer, request: web.Request) -> web.StreamResponse:
    """GET /v2/_catalog[?n=&last=], Docker's list of repositories."""
    found = await asyncio.to_thread(registry.store.all_repositories)
    repositories, headers = _page(found, request, "/v2/_catalog")
    return json_response({"repositories": repositories}, headers)


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
    """Return the page of a sorted list given by `n` and `last`, and a Link to the next."""
    last = request.query.get("last")
    if last is not None:
        found = [one for one in found if one > last]
    if "n" not in request.query:
        return found, {}
    text = request.query["n"]
    if not (text.isascii() and text.isdigit()):
        raise FaultError(400, "UNSUPPORTED", f"n={text[:40]!r} is not a number; omit it for the whole list")
    count = int(text[:9])
    if count == 0 or count >= len(found):
        return found[:count], {}
    query = urlencode({"n": count, "last": found[count - 1]})
    return found[:count], {hdrs.LINK: f'<{path}?{query}>; rel="next"'}


def json_response(document: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    """Answer with a JSON document."""
    given = {hdrs.CONTENT_TYPE: "application/json", **(headers or {})}
    return web.Response(body=msgspec.json.encode(document), headers=given)
