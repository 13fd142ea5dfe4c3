"""A hub for suites that pull from Docker's: the images they name, made of busybox, behind the hub's own name.

Who is to find it runs with `environment()` in a mount namespace where `hosts()` stands as /etc/hosts.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from certificates import make_certificates
from container_rootfs import build_rootfs
from registries import ours

from runtime.image import ImageStore
from runtime.image.documents import Execution, ImageConfig
from runtime.image.registry.client import RegistryClient

_HUB = "registry-1.docker.io"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_IMAGES = {
    "busybox": ("busybox:latest",),
    "alpine": ("alpine:3.10", "alpine:latest"),
    "hello": ("hello-world:latest",),
}


class Hub:
    """A registry in a directory, and what leads to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._certificates = directory / "tls"

    def make(self) -> None:
        """Make the images and certificates; needs no namespace."""
        self._certificates.mkdir(parents=True)
        make_certificates(self._certificates, _HUB)
        with ours(self.directory / "registry") as host:
            _fill(self.directory, host)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program trust the hub's certificate."""
        return {"SSL_CERT_FILE": str(self._certificates / "ca.pem")}

    @property
    def hosts(self) -> Path:
        """A file that names the loopback as docker's hub."""
        file = self.directory / "hosts"
        file.write_text(f"127.0.0.1 localhost {_HUB}\n")
        return file

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        """Answer on port 443 of the loopback: of a network namespace of its own."""
        tls = self._certificates
        command = [
            sys.executable, "-m", "runtime.image.server", "--root", str(self.directory / "registry"),
            "--listen", "127.0.0.1:443", "--read-only", "--tls-cert", str(tls / "server-cert.pem"),
            "--tls-key", str(tls / "server-key.pem"),
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline(), "the hub did not start"
                yield
            finally:
                process.terminate()


def _fill(directory: Path, host: str) -> None:
    store = ImageStore(directory / "store")
    for kind, names in _IMAGES.items():
        rootfs = build_rootfs(directory / kind)
        command = ["/bin/sh"]
        if kind == "alpine":
            _look_like_alpine(rootfs)
        if kind == "hello":
            command = ["/bin/echo", "Hello from Docker!"]
        config = ImageConfig(config=Execution(cmd=command, env=[_PATH]))
        for name in names:
            there = f"{host}/library/{name}"
            store.create(there, [rootfs], config)
            RegistryClient().push(store, there)


def _look_like_alpine(rootfs: Path) -> None:
    (rootfs / "var/opt").mkdir(parents=True)
    for name, line in (("passwd", "postgres:x:70:70::/var:/bin/sh\n"), ("group", "postgres:x:70:\n")):
        with (rootfs / "etc" / name).open("a") as file:
            file.write(line)
