"""What travels when 1 MB in the last layer of a 200 MB image has changed, for every client and registry.

    python -m tests.studies.delta [--mib 200] [--json]      (as root)

Clients: nnd (driven by the docker command, and by nn), RegistryClient alone, dockerd (one of our own), skopeo
and podman; registries: `nn serve registry` and docker-registry. What is not installed is left out. A relay
between them counts all bytes of both directions, heads of requests included. Exit status 1: somewhere more
than 1.05 MB travelled.

Pull: the client has the image, the changed one is in the registry. Push: the registry has the image (the
client has pushed it), and the client has got the changed one as an archive.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from runtime.image.archives.loading import load
from runtime.image.archives.saving import choose, save
from runtime.image.registry.client import RegistryClient
from runtime.image.store.image_store import ImageStore
from tests.runtime.daemon_process import running_daemon
from tests.runtime.own_dockerd import own_dockerd
from tests.runtime.registries import Relay, distribution, has_distribution, ours

CHANGED = 1_000_000
MOST = 1_050_000
BASES = 4


class Client(NamedTuple):
    """take: an archive of an image of a name; push, pull: a name."""

    take: Callable[[Path, str], object]
    push: Callable[[str], object]
    pull: Callable[[str], object]


Opened = Callable[[Path], AbstractContextManager[Client]]


@contextlib.contextmanager
def alone(where: Path) -> Iterator[Client]:
    """The client without a daemon."""
    store, client = ImageStore(where / "images"), RegistryClient()
    yield Client(
        lambda archive, name: load(store, io.BytesIO(archive.read_bytes())),
        lambda name: client.push(store, name),
        lambda name: client.pull(store, name),
    )


@contextlib.contextmanager
def nnd(where: Path, program: tuple[str, ...] = ("docker",)) -> Iterator[Client]:
    """A daemon of ours, driven by `program`."""
    with running_daemon(checked=False) as daemon:
        yield _driven((*program, "--host", daemon.host), daemon.environment)


@contextlib.contextmanager
def nn(where: Path) -> Iterator[Client]:
    """A daemon of ours, driven by our own command."""
    with nnd(where, (str(Path(sys.executable).with_name("nn")),)) as client:
        yield client


@contextlib.contextmanager
def dockerd(where: Path) -> Iterator[Client]:
    """A dockerd of our own."""
    with own_dockerd(where) as api:
        yield _driven(("docker", "--host", f"unix://{api.path}"), dict(os.environ))


def _driven(command: tuple[str, ...], environment: dict[str, str]) -> Client:
    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)

    return Client(
        lambda archive, name: run("load", "-q", "-i", str(archive)),
        lambda name: run("push", "-q", name),
        lambda name: run("pull", "-q", name),
    )


@contextlib.contextmanager
def skopeo(where: Path) -> Iterator[Client]:
    """skopeo, which keeps images in an OCI layout."""

    def copy(source: str, target: str) -> None:
        command = ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false"]
        subprocess.run([*command, "--dest-tls-verify=false", source, target], check=True)

    layout = f"oci:{where}/layout:it"
    yield Client(
        lambda archive, name: copy(f"docker-archive:{archive}", layout),
        lambda name: copy(layout, f"docker://{name}"),
        lambda name: copy(f"docker://{name}", layout),
    )


@contextlib.contextmanager
def podman(where: Path) -> Iterator[Client]:
    """podman with a storage of its own."""
    command = ["podman", "--root", f"{where}/root", "--runroot", f"{where}/run", "--storage-driver", "vfs"]

    environment = os.environ | {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}

    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)

    yield Client(
        lambda archive, name: run("load", "-q", "-i", str(archive)),
        lambda name: run("push", "-q", "--tls-verify=false", name),
        lambda name: run("pull", "-q", "--tls-verify=false", name),
    )


def clients() -> dict[str, Opened]:
    """Who is here."""
    found: dict[str, Opened] = {"ours, alone": alone}
    if shutil.which("docker"):
        found["nnd (docker)"] = nnd
    found["nnd (nn)"] = nn
    if shutil.which("docker") and shutil.which("dockerd"):
        found["dockerd"] = dockerd
    found |= {one.__name__: one for one in (skopeo, podman) if shutil.which(one.__name__)}
    return found


def registries() -> dict[str, Callable[[Path], AbstractContextManager[str]]]:
    """Who serves."""
    return {"nn serve registry": ours} | ({"docker-registry": distribution} if has_distribution() else {})


class Images:
    """The image, and the one whose last layer is another; made anew for each pair."""

    def __init__(self, where: Path, mib: int) -> None:
        self.where, self.store = where, ImageStore(where / "builder")
        size = ((mib << 20) - CHANGED) // BASES
        self.bases = [self._layer(f"base{number}", size) for number in range(BASES)]

    def make(self, name: str) -> Path:
        """Make an image of this name and return an archive of it."""
        self.store.create(name, [*self.bases, self._layer("changed", CHANGED)])
        archive = self.where / "archive.tar"
        with archive.open("wb") as target:
            for data in save(self.store, choose(self.store, [name])):
                target.write(data)
        return archive

    def _layer(self, name: str, size: int) -> Path:
        path = self.where / f"{name}.tar"
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(os.urandom(size)))
        return path


def measure(images: Images, client: Client, host: str) -> dict[str, int]:
    """Return the bytes on the wire of a pull and of a push."""
    relay = Relay(host)
    moved = {}
    try:
        name = f"{relay.host}/pull:1"
        for _ in range(2):
            images.make(name)
            RegistryClient().push(images.store, name)
            relay.reset()
            client.pull(name)
            moved["pull"] = relay.up + relay.down
        name = f"{relay.host}/push:1"
        for _ in range(2):
            client.take(images.make(name), name)
            relay.reset()
            client.push(name)
            moved["push"] = relay.up + relay.down
    finally:
        relay.close()
    return moved


def table(where: Path, mib: int) -> dict[str, dict[str, dict[str, int]]]:
    """Measure everybody: registry → client → bytes."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for registry, start in registries().items():
        for client, opened in clients().items():
            with tempfile.TemporaryDirectory(dir=where) as text:
                place = Path(text)
                for name in ("images", "client"):
                    (place / name).mkdir()
                with start(place / "registry") as host, opened(place / "client") as one:
                    found.setdefault(registry, {})[client] = measure(Images(place / "images", mib), one, host)
    return found


def main() -> int:
    """Measure, print, and say by the exit status whether the small change travelled alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--dir", type=Path, default=None, help="where all of it lies (default: $TMPDIR)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir, prefix="delta-") as text:
        found = table(Path(text), given.mib)
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{'registry':20}{'client':16}{'pull':>12}{'push':>12}   bytes, {given.mib} MiB image")
        for registry, rows in found.items():
            for client, moved in rows.items():
                print(f"{registry:20}{client:16}{moved['pull']:>12,}{moved['push']:>12,}")
    most = max(size for rows in found.values() for moved in rows.values() for size in moved.values())
    return int(most > MOST)


if __name__ == "__main__":
    sys.exit(main())
