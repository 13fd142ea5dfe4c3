"""The registry as a separate process, which dies with the thread that started it."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

_PATIENCE_S = 60.0
_MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
# It dies with its parent, even if that is killed, so no sweep has to find it.
_PROGRAM = (
    "import ctypes, sys; ctypes.CDLL(None).prctl(1, 9); "
    "from runtime.image.server.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


class CountingRegistryError(Exception):
    """The registry could not be started or filled: names the operation and what the program printed."""


class RegistryProcess:
    """A registry at a free port of 127.0.0.1, with its files below `directory`. Raises
    CountingRegistryError."""

    def __init__(self, directory: Path) -> None:
        argv = [sys.executable, "-c", _PROGRAM, "--root", str(directory), "--listen", "127.0.0.1:0"]
        self._log = (directory.parent / f"{directory.name}.log").open("w+b")
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._log
        )
        self.port = self._port()

    def last_layer(self, repository: str, tag: str) -> int:
        """Return the bytes of the last layer of an image, from its manifest."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2/{repository}/manifests/{tag}", headers={"Accept": _MANIFEST}
        )
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
                return int(json.load(answer)["layers"][-1]["size"])
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise CountingRegistryError(
                f"counting registry: read the manifest of {repository}:{tag}: {error}"
            ) from error

    def close(self) -> None:
        """End it. Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        with contextlib.suppress(FileNotFoundError):
            Path(self._log.name).unlink()

    def _port(self) -> int:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _PATIENCE_S
        if select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            line = self._process.stdout.readline().decode(errors="replace")
            port = urlsplit("//" + line.strip().rpartition(" ")[2].removeprefix("http://")).port
            if port:
                return port
        self._log.seek(0)
        words = self._log.read()[-500:].decode(errors="replace").strip().splitlines()
        self.close()
        raise CountingRegistryError(
            f"start the counting registry: it printed no address; its last words: {' / '.join(words[-2:])}"
        )
