"""One blob into a registry: it is there, or comes from a neighbouring repository, or is sent and resumed."""

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
    """Puts blobs into the repository `path`."""

    def __init__(self, session: RegistrySession, path: str) -> None:
        self._session, self._path = session, path
        self._scopes = push_scope(path)

    def has(self, digest: str) -> bool:
        """Ask whether the repository has a blob."""
        where = f"/v2/{self._path}/blobs/{digest}"
        with self._session.ask("HEAD", where, scopes=self._scopes, fine=(200, 404)) as answer:
            return answer.status == 200

    def begin(self, digest: str, sources: Sequence[str]) -> tuple[str, str]:
        """Ask for a mount from one of the repositories `sources`; return the one it came from, or "" …

        … and then where to send the blob. Registries without mounts begin an upload instead.
        """
        location = ""
        for source in sources[:_MOST_SOURCES]:
            scopes = (*self._scopes, f"repository:{source}:pull")
            where = f"/v2/{self._path}/blobs/uploads/?mount={digest}&from={source}"
            try:
                answer = self._session.ask("POST", where, scopes=scopes, fine=(201, 202))
            except ConnectionFailedError:
                raise
            except RegistryError:  # it may not be asked for that repository
                continue
            with answer:
                if answer.status == 201:
                    return source, ""
                location = self._location(answer)
            if location:
                break
        return "", location or self._start()

    def send(self, digest: str, blob: BinaryIO, size: int, location: str, gauge: BlobProgress) -> None:
        """Send `blob` to where begin() said; go on where it broke off."""
        options, cancel = self._session.wire.options, self._session.wire.cancel
        offset = failures = 0
        while True:
            try:
                location, reached = self._append(digest, blob, offset, size, location, gauge)
            except _FINAL:
                raise
            except RegistryError:  # also what it says to a request that was broken, or still runs
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
                raise RegistryError(f"blob {digest}: {self._session.host} takes no more than {offset} bytes")

    # ---- steps -----------------------------------------------------------------------------------------

    def _start(self) -> str:
        where = f"/v2/{self._path}/blobs/uploads/"
        with self._session.ask("POST", where, scopes=self._scopes, fine=(202,)) as answer:
            return self._location(answer)

    def _append(
        self, digest: str, blob: BinaryIO, offset: int, size: int, location: str, gauge: BlobProgress
    ) -> tuple[str, int]:
        """Send the rest from `offset`; return where to go on and how much the registry has."""
        at = offset

        def count(sent: int) -> None:
            nonlocal at
            at += sent
            self._session.wire.meter.sent(sent, digest)
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
        """Ask how far the upload came; begin another where the registry does not know."""
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
            raise RegistryError(
                f"registry {self._session.host} does not say where to upload to; ask who runs it"
            )
        return self._session.target(answer.url, location)


def push_scope(path: str) -> tuple[str, ...]:
    """What a token must allow for pushing to the repository `path`."""
    return (f"repository:{path}:pull,push",)


def _reached(answer: HttpResponse, size: int) -> int:
    """How many bytes the registry has; all, where it does not say."""
    found = _RANGE.fullmatch(answer.headers.get("Range", ""))
    return min(int(found[1]) + 1, size) if found else size
