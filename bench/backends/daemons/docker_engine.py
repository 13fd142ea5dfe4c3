"""Images and containers of a daemon with Docker's API, for the families that measure the daemon itself."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from bench.backends.base import BackendError, Footprint
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.programs import processes
from bench.backends.resources import owned

LABEL = "ninetynine.owner"
_NO_LOGIN = "e30="
"""An empty JSON object in base64: push requires the header even without a login."""


class DockerEngine:
    """One daemon. kept: the directory of its images and containers; pids: returns its processes.

    client: the start of its client's command lines.
    """

    def __init__(
        self,
        api: DockerApi,
        image: str,
        kept: Path,
        pids: Callable[[], Collection[int]],
        client: Sequence[str],
        owner: str,
    ) -> None:
        self.image = image
        self._api = api
        self._kept, self._pids = kept, pids
        self._client = tuple(client)
        self._owner = owner

    def pull(self, reference: str) -> None:
        """Pull an image from its registry."""
        name, _, tag = reference.rpartition(":")
        self._stream("POST", f"/images/create?fromImage={quote(name, safe='')}&tag={quote(tag)}", reference)

    def push(self, reference: str) -> None:
        """Push an image to its registry."""
        name, _, tag = reference.rpartition(":")
        self._stream(
            "POST", f"/images/{name}/push?tag={quote(tag)}", reference, {"X-Registry-Auth": _NO_LOGIN}
        )

    def remove_image(self, reference: str) -> None:
        """Remove an image and the layers that no other image needs."""
        self._api.ask("DELETE", f"/images/{reference}?force=1", allow=(404,))

    def contents(self, reference: str) -> dict[str, str]:
        """Return name → sha256 of every file of the saved image."""
        with (
            self._api.download("GET", f"/images/{reference}/get") as body,
            tarfile.open(fileobj=body, mode="r|") as saved,
        ):
            return dict(_digests(saved))

    def create(self, reference: str, argv: Sequence[str]) -> str:
        """Create a container without a network or a log."""
        body = {
            "Image": reference,
            "Cmd": list(argv),
            "Labels": {LABEL: self._owner},
            "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
        }
        return str(self._api.ask("POST", "/containers/create", body)["Id"])

    def start(self, container: str) -> None:
        """Start a container."""
        self._api.ask("POST", f"/containers/{container}/start")

    def wait(self, container: str) -> int:
        """Wait until a container ends; return its exit status."""
        return int(self._api.ask("POST", f"/containers/{container}/wait")["StatusCode"])

    def stop(self, container: str) -> None:
        """Stop a container: its stop signal, directly followed by SIGKILL."""
        self._api.ask("POST", f"/containers/{container}/stop?t=0")

    def remove(self, container: str) -> None:
        """Remove a container, running or not."""
        self._api.ask("DELETE", f"/containers/{container}?force=1")

    def write(self, container: str, path: str, data: bytes) -> None:
        """Write a file into a container."""
        place = PurePosixPath(path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            member = tarfile.TarInfo(place.name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        query = f"/containers/{container}/archive?path={quote(str(place.parent), safe='')}"
        self._api.upload("PUT", query, packed.getvalue())

    def commit(self, container: str, reference: str) -> None:
        """Make an image of a container."""
        repository, _, tag = reference.rpartition(":")
        query = f"container={container}&repo={quote(repository, safe='')}&tag={quote(tag)}"
        self._api.ask("POST", f"/commit?{query}", {})

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the client's command line."""
        return (*self._client, *arguments)

    def disk_bytes(self) -> int:
        """Return the bytes of all blocks on disk that the daemon uses."""
        return owned.disk_bytes(self._kept)

    def memory(self) -> Footprint:
        """Return the proportional set size of the daemon's processes, without those in containers."""
        return processes.pss(self._pids())

    def _stream(self, method: str, path: str, reference: str, headers: dict[str, str] | None = None) -> None:
        """Send a request that is answered by lines of JSON, one of which may be an error."""
        for line in self._api.lines(method, path, headers or {}):
            progress: dict[str, Any] = json.loads(line)
            if "error" in progress:
                raise BackendError(f"docker {method} {reference}: {progress['error']}")


def _digests(saved: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in saved:
        content = saved.extractfile(member) if member.isfile() else None
        if content is not None:
            digest = hashlib.sha256()
            while data := content.read(1 << 20):
                digest.update(data)
            yield member.name, digest.hexdigest()
