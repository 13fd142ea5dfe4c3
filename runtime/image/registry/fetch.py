"""Read from a registry: documents whole, layers as a stream that resumes after a broken connection."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import BinaryIO

from runtime.image.documents import Descriptor, digest_of
from runtime.image.registry.http import HttpResponse
from runtime.image.registry.manifests import ACCEPT, ManifestDocument, read_document
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.progress import BlobProgress
from runtime.image.registry.registry_errors import ConnectionFailedError, RegistryDataError
from runtime.image.registry.session import RegistrySession

_PIECE = 256 << 10
_PROGRESS = 64 << 10
_MOST_BREAKS = 100
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def pull_scope(path: str) -> tuple[str, ...]:
    """Return the token scope for pulling from the repository `path`."""
    return (f"repository:{path}:pull",)


def fetch_manifest(
    session: RegistrySession, path: str, reference: str, size: int | None = None
) -> ManifestDocument:
    """Get a manifest or index of the repository `path` by tag or digest, and check it.

    size: its size according to an index. Raises RegistryDataError and what RegistrySession.ask raises.
    """
    what = f"manifest {reference} of {session.host}/{path}"
    data, answer = _whole(session, f"/v2/{path}/manifests/{reference}", path, what, {"Accept": ACCEPT})
    document = read_document(data, answer.headers.get("Content-Type", ""), what)
    digest = reference if ":" in reference else answer.headers.get("Docker-Content-Digest", "")
    if digest.startswith("sha256:") and digest != document.digest:
        raise RegistryDataError(
            f"manifest verification failed for digest {digest}: "
            f"that of {session.host}/{path} has the digest {document.digest}; refused"
        )
    if ":" in reference and not digest.startswith("sha256:"):
        raise RegistryDataError(f"{what}: only sha256 digests are supported")
    if size is not None and size != len(data):
        raise RegistryDataError(f"{what} has {len(data)} bytes, its index says {size}; refused")
    return document


def fetch_document(session: RegistrySession, path: str, blob: Descriptor) -> bytes:
    """Get a small blob (a config) whole, and check it."""
    what = f"blob {blob.digest} of {session.host}/{path}"
    limit = session.http.options.max_document
    if blob.size > limit:
        raise RegistryDataError(f"{what} is larger than {limit} bytes; refused")
    data, _ = _whole(session, f"/v2/{path}/blobs/{blob.digest}", path, what, {}, blob.digest)
    if len(data) != blob.size:
        raise RegistryDataError(f"{what} has {len(data)} bytes, its manifest says {blob.size}; refused")
    if digest_of(data) != blob.digest:
        raise RegistryDataError(f"{what} has the digest {digest_of(data)}; refused")
    return data


def _whole(
    session: RegistrySession, where: str, path: str, what: str, headers: dict[str, str], digest: str = ""
) -> tuple[bytes, HttpResponse]:
    """Read a document; retry when the connection breaks."""
    options, cancel = session.http.options, session.http.cancel
    for left in reversed(range(options.attempts)):
        with session.ask("GET", where, scopes=pull_scope(path), headers=headers) as answer:
            try:
                return answer.document(options.max_document, what, digest), answer
            except ConnectionFailedError:
                if not left:
                    raise
        cancel.sleep(options.pause_s)
    raise AssertionError("attempts is at least 1")


class BlobReader(io.RawIOBase):
    """Reads a blob, over as many connections as needed; checks its size, but leaves the digest to the reader.

    room: called before each piece; raises when the disk is full. start: bytes received earlier; only the rest
    is requested.
    """

    def __init__(
        self,
        session: RegistrySession,
        path: str,
        blob: Descriptor,
        gauge: BlobProgress,
        room: Callable[[], None],
        start: BinaryIO | None = None,
    ) -> None:
        super().__init__()
        self._start = start
        self._session, self._path, self._blob = session, path, blob
        self._gauge, self._room = gauge, room
        self._what = f"blob {blob.digest} of {session.host}/{path}"
        self._answer: HttpResponse | None = None
        self._stall = _StallDetector(session.http.options)
        self._offset = self._broke_at = 0
        self._failures = self._breaks = 0

    def readable(self) -> bool:
        """Always true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size` and 256 KiB, b"" at the end."""
        left = self._blob.size - self._offset
        most = _PIECE if size < 0 else min(size, _PIECE)
        if not left or not most:
            return b""
        self._room()
        data = self._start.read(min(most, left)) if self._start is not None else b""
        if not data:
            self._start = None
        while not data:
            data = self._attempt(min(most, left + 1))
        if len(data) > left:
            raise RegistryDataError(f"{self._what} is longer than the {self._blob.size} bytes announced")
        self._offset += len(data)
        self._gauge.at(self._offset)
        if self._offset == self._blob.size:
            self.close()
        return data

    def close(self) -> None:
        """Release the connection. Idempotent."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        super().close()

    def _attempt(self, most: int) -> bytes:
        """Read once; b"" when the connection broke and the next attempt is to resume."""
        try:
            if self._answer is None:
                self._answer = self._open()
            return self._read1(self._answer, most)
        except ConnectionFailedError as error:
            if self._answer is not None:
                self._answer.close()
                self._answer = None
            self._note_break(error)
            return b""

    def _read1(self, answer: HttpResponse, most: int) -> bytes:
        data = answer.read1(most)
        self._session.http.meter.received(len(data), self._blob.digest)
        if not data:
            raise ConnectionFailedError("the connection ended too early")
        self._stall.took(len(data))
        return data

    def _note_break(self, error: ConnectionFailedError) -> None:
        """Count a break; raise when further attempts are pointless."""
        options = self._session.http.options
        if error.final:
            raise error
        self._breaks += 1
        self._failures = 0 if self._offset - self._broke_at >= _PROGRESS else self._failures + 1
        self._broke_at = self._offset
        if self._failures >= options.attempts or self._breaks > _MOST_BREAKS:
            raise ConnectionFailedError(
                f"{self._what} ended after {self._offset} of {self._blob.size} bytes, "
                f"{self._breaks} times: {error}"
            ) from error
        self._session.http.cancel.sleep(options.pause_s)

    def _open(self) -> HttpResponse:
        """Request the rest of the blob."""
        answer = self._session.ask(
            "GET",
            f"/v2/{self._path}/blobs/{self._blob.digest}",
            scopes=pull_scope(self._path),
            headers={"Range": f"bytes={self._offset}-"} if self._offset else {},
            fine=(200, 206) if self._offset else (200,),
        )
        try:
            start = self._start_of(answer)
            if answer.length is not None and answer.length != self._blob.size - start:
                raise RegistryDataError(
                    f"{self._what} is announced with {start + answer.length} bytes, "
                    f"its manifest says {self._blob.size}; refused"
                )
            self._stall = _StallDetector(self._session.http.options)
            self._skip(answer, self._offset - start)
        except BaseException:
            answer.close()
            raise
        return answer

    def _start_of(self, answer: HttpResponse) -> int:
        """Return the answer's offset: a registry without ranges sends the blob from its start."""
        if answer.status == 200:
            return 0
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if not found or int(found[1]) != self._offset or found[3] not in ("*", str(self._blob.size)):
            raise RegistryDataError(
                f"{self._what}: requested the bytes from {self._offset}, got others; refused"
            )
        return self._offset

    def _skip(self, answer: HttpResponse, size: int) -> None:
        while size:
            size -= len(self._read1(answer, min(size, _PIECE)))


class _StallDetector:
    """Fails a connection that is too slow."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._since, self._bytes = time.monotonic(), 0

    def took(self, size: int) -> None:
        """Count bytes. Raises ConnectionFailedError when too few came in the last interval."""
        self._bytes += size
        now = time.monotonic()
        if now - self._since < self._options.stall_s:
            return
        if self._bytes < self._options.stall_bytes:
            raise ConnectionFailedError(
                f"the connection stalls: {self._bytes} bytes in {now - self._since:.0f} s; try again later"
            )
        self._since, self._bytes = now, 0
