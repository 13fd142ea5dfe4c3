"""Handlers for blobs and uploads: whole, in chunks, or mounted from another repository."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

from runtime.image.server import identifiers
from runtime.image.server.faults import FaultError
from runtime.image.server.registry import RegistryServer, ResourcePath
from runtime.image.server.uploads import Upload

_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})")
STALL_S = 60.0
"""Timeout for the next bytes of an upload; until then no other request can continue it."""

_BATCH = 1 << 20
"""Bytes that are hashed and written at once, in another thread."""


async def get_blob(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """GET, HEAD blobs/<digest>, with `Range`."""
    digest = identifiers.digest(target.rest)
    path = registry.store.blob(target.repository, digest)
    headers = {
        hdrs.CONTENT_TYPE: "application/octet-stream",
        "Docker-Content-Digest": digest,
        hdrs.CACHE_CONTROL: "max-age=31536000",
        "Docker-Distribution-Api-Version": "registry/2.0",
    }
    return web.FileResponse(path, headers=headers, chunk_size=_BATCH)


async def delete_blob(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """DELETE blobs/<digest>."""
    async with registry.gate.shared():
        registry.store.drop_blob(target.repository, identifiers.digest(target.rest))
    return web.Response(status=202)


async def begin_upload(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """POST blobs/uploads/: start an upload (202); ?digest= uploads at once, ?mount= mounts (201)."""
    if target.rest:
        raise FaultError(405, "UNSUPPORTED", "POST is not possible on an upload; use PATCH or PUT")
    mounted = request.query.get("mount")
    if mounted:
        digest = identifiers.digest(mounted)
        source = request.query.get("from", "")
        if source:
            identifiers.repository(source)
        async with registry.gate.shared():
            found = await asyncio.to_thread(registry.store.mount_blob, target.repository, digest, source)
        if found:
            return _created(target.repository, digest)
    whole = request.query.get("digest")
    if whole:
        identifiers.digest(whole)
    algorithm = request.query.get("digest-algorithm") or (whole or "sha256").partition(":")[0]
    upload = registry.uploads.begin(target.repository, algorithm)
    if whole is None:
        return _accepted(upload)
    try:
        async with _busy(upload):
            await _receive(upload, request)
            await _finish(registry, upload, whole)
    except BaseException:
        registry.uploads.cancel(upload)  # its client does not know its id
        raise
    return _created(target.repository, whole)


async def show_upload(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """GET blobs/uploads/<id>: its progress."""
    return _accepted(registry.uploads.get(target.repository, target.rest), status=204)


async def append_upload(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """PATCH blobs/uploads/<id>: the next chunk, or without Content-Range a stream of any length."""
    upload = registry.uploads.get(target.repository, target.rest)
    async with _busy(upload):
        _check_range(upload, request)
        await _receive(upload, request)
    return _accepted(upload)


async def finish_upload(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """PUT blobs/uploads/<id>?digest=: finish, perhaps with a last chunk."""
    upload = registry.uploads.get(target.repository, target.rest)
    if "digest" not in request.query:
        raise FaultError(400, "DIGEST_INVALID", "an upload is finished with its digest; add ?digest=")
    digest = identifiers.digest(request.query["digest"])
    async with _busy(upload):
        _check_range(upload, request)
        await _receive(upload, request)
        await _finish(registry, upload, digest)
    return _created(target.repository, digest)


async def cancel_upload(
    registry: RegistryServer, request: web.Request, target: ResourcePath
) -> web.StreamResponse:
    """DELETE blobs/uploads/<id>."""
    upload = registry.uploads.get(target.repository, target.rest)
    async with _busy(upload):
        registry.uploads.cancel(upload)
    return web.Response(status=204)


@asynccontextmanager
async def _busy(upload: Upload) -> AsyncIterator[None]:
    """Refuse a second request to an upload while one writes: their bytes would mix."""
    if upload.busy:
        raise FaultError(
            416, "BLOB_UPLOAD_INVALID", "another request writes to this upload", headers=_where(upload)
        )
    upload.busy = True
    try:
        yield
    finally:
        upload.busy = False


def _check_range(upload: Upload, request: web.Request) -> None:
    text = request.headers.get(hdrs.CONTENT_RANGE)
    if text is None:
        return
    found = _RANGE.fullmatch(text.removeprefix("bytes ").partition("/")[0])
    if not found:
        raise FaultError(
            400,
            "BLOB_UPLOAD_INVALID",
            f"Content-Range {text[:60]!r} is not START-END",
            headers=_where(upload),
        )
    start, end = int(found[1]), int(found[2])
    if start != upload.offset:
        raise FaultError(
            416,
            "BLOB_UPLOAD_INVALID",
            f"chunk starts at {start}, but the upload is at {upload.offset}; continue there",
            headers=_where(upload),
        )
    length = request.content_length
    if length is not None and length != end - start + 1:
        raise FaultError(
            400,
            "SIZE_INVALID",
            f"Content-Range {text[:60]} is {end - start + 1} bytes, Content-Length says {length}",
            headers=_where(upload),
        )


async def _receive(upload: Upload, request: web.Request) -> None:
    """Append the request's body; received bytes stay when the client disconnects."""
    waiting = bytearray()
    try:
        while data := await _piece(upload, request):
            waiting += data
            if len(waiting) >= _BATCH:
                await asyncio.to_thread(upload.write, bytes(waiting))
                waiting.clear()
    finally:
        if waiting:
            upload.write(bytes(waiting))


async def _piece(upload: Upload, request: web.Request) -> bytes:
    """Return the next bytes, none at the end. Times out when the client is gone without closing."""
    try:
        async with asyncio.timeout(STALL_S):
            return await request.content.readany()
    except TimeoutError:
        raise FaultError(
            408,
            "BLOB_UPLOAD_INVALID",
            f"no data for {STALL_S:g} s; resume it",
            headers=_where(upload),
        ) from None


async def _finish(registry: RegistryServer, upload: Upload, digest: str) -> None:
    async with registry.gate.shared():
        await asyncio.to_thread(registry.uploads.finish, upload, digest)


def _where(upload: Upload) -> dict[str, str]:
    return {
        hdrs.LOCATION: f"/v2/{upload.repository}/blobs/uploads/{upload.id}",
        hdrs.RANGE: upload.range,
        "Docker-Upload-UUID": upload.id,
    }


def _accepted(upload: Upload, status: int = 202) -> web.Response:
    return web.Response(status=status, headers=_where(upload))


def _created(repository: str, digest: str) -> web.Response:
    headers = {hdrs.LOCATION: f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)
