"""Upload a blob: skip it if it exists, else mount it from another repository, else send it, with resume."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from runtime.image.registry.http import HttpResponse, RequestBody
from runtime.image.registry.progress import BlobProgress
from runtime.image.registry.registry_errors import (
    ConnectionFailedError,
    RedirectRefusedError,
    RegistryAuthError,
    RegistryError,
    TransferCancelledError,
)
from runtime.image.registry.session import RegistrySession

_PIECE = 1 << 20
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")
_MOST_SOURCES = 3
_FINAL = (RedirectRefusedError, RegistryAuthError, TransferCancelledError)


class BlobUpload:
    """Uploads blobs to the repository `path`."""

    def __init__(self, session: RegistrySession, path: str) -> None:
        self._session, self._path = session, path
        self._scopes = push_scope(path)

    def has(self, digest: str) -> bool:
        """Say whether the repository has a blob."""
        where = f"/v2/{self._path}/blobs/{digest}"
        with self._session.ask("HEAD", where, scopes=self._scopes, fine=(200, 404)) as answer:
            return answer.status == 200

    def begin(self, digest: str, sources: Sequence[str]) -> tuple[str, str]:
        """Try to mount a blob from one of the repositories `sources`; return (source, upload location).

        One of the two is "". Registries that do not mount start an upload instead.
        """
        location = ""
        for source in sources[:_MOST_SOURCES]:
            scopes = (*self._scopes, f"repository:{source}:pull")
            where = f"/v2/{self._path}/blobs/uploads/?mount={digest}&from={source}"
            try:
                answer = self._session.ask("POST", where, scopes=scopes, fine=(201, 202))
            except ConnectionFailedError:
                raise
            except RegistryError:  # it may refuse access to that repository
                continue
            with answer:
                if answer.status == 201:
                    return source, ""
                location = self._location(answer)
            if location:
                break
        return "", location or self._start()

    def send(self, digest: str, blob: BinaryIO, size: int, location: str, gauge: BlobProgress) -> None:
        """Send `blob` to the location from begin(); resume after a broken connection."""
        options, cancel = self._session.http.options, self._session.http.cancel
        offset = failures = 0
        while True:
            try:
                location, reached = self._append(digest, blob, offset, size, location, gauge)
            except _FINAL:
                raise
            except RegistryError:  # also its response to a broken or still running request
                failures += 1
                if failures >= options.attempts:
                    raise
                cancel.sleep(options.pause_s)
                location, offset = self._resume(location)
                continue
            if reached >= size:
                return self._finish(digest, location)
            failures, offset = failures + 1 if reached <= offset else 0, reached
            if failures >= options.attempts:
                raise RegistryError(f"blob {digest}: {self._session.host} accepts only {offset} bytes")

    # ---- steps -----------------------------------------------------------------------------------------

    def _start(self) -> str:
        where = f"/v2/{self._path}/blobs/uploads/"
        with self._session.ask("POST", where, scopes=self._scopes, fine=(202,)) as answer:
            return self._location(answer)

    def _append(
        self, digest: str, blob: BinaryIO, offset: int, size: int, location: str, gauge: BlobProgress
    ) -> tuple[str, int]:
        """Send the rest from `offset`; return the next location and the bytes that the registry has."""
        at = offset

        def count(sent: int) -> None:
            nonlocal at
            at += sent
            self._session.http.meter.sent(sent, digest)
            gauge.at(at)

        def pieces() -> Iterator[bytes]:
            nonlocal at
            at = offset
            blob.seek(offset)
            while data := blob.read(_PIECE):
                yield data

        headers = {"Content-Type": "application/octet-stream"}
        if offset:
            headers["Content-Range"] = f"{offset}-{size - 1}"
        answer = self._session.ask(
            "PATCH",
            location,
            scopes=self._scopes,
            headers=headers,
            body=RequestBody(size - offset, pieces),
            fine=(202, 204),
            count=count,
            once=True,
        )
        with answer:
            return self._location(answer), _reached(answer, size)

    def _finish(self, digest: str, location: str) -> None:
        where = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        try:
            with self._session.ask(
                "PUT", where, scopes=self._scopes, body=RequestBody.of(b""), fine=(201, 202, 204), once=True
            ):
                return
        except ConnectionFailedError:
            if not self.has(digest):
                raise

    def _resume(self, location: str) -> tuple[str, int]:
        """Ask how far the upload got; start another one if the registry does not know it."""
        try:
            with self._session.ask("GET", location, scopes=self._scopes, fine=(204, 200)) as answer:
                found = _RANGE.fullmatch(answer.headers.get("Range", ""))
                if found and int(found[1]):
                    return self._location(answer) or location, int(found[1]) + 1
        except ConnectionFailedError:
            raise
        except RegistryError:
            pass
        return self._start(), 0

    def _location(self, answer: HttpResponse) -> str:
        location = answer.headers.get("Location", "")
        if not location:
            raise RegistryError(f"registry {self._session.host} gives no upload location; ask its operator")
        return self._session.target(answer.url, location)


def push_scope(path: str) -> tuple[str, ...]:
    """Return the token scope for pushing to the repository `path`."""
    return (f"repository:{path}:pull,push",)


def _reached(answer: HttpResponse, size: int) -> int:
    """Return how many bytes the registry has; all if it does not say."""
    found = _RANGE.fullmatch(answer.headers.get("Range", ""))
    return min(int(found[1]) + 1, size) if found else size
