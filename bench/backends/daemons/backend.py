"""The backend of any daemon with Docker's API: find or start the daemon, load the image, sweep."""

from __future__ import annotations

import abc
import contextlib
from pathlib import Path

from bench.backends.base import BackendError, BenchImage, Engine, InstanceSpec, NotAvailable
from bench.backends.daemons import dockerd
from bench.backends.daemons.daemon_process import DaemonProcess
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.daemons.docker_engine import LABEL, DockerEngine
from bench.backends.daemons.instance import DaemonInstance
from bench.backends.programs.started import Started
from bench.backends.resources import owned
from bench.model import BackendInfo
from runtime.image.archives.saving import Chosen, save
from runtime.image.store.image_store import ImageStore
from runtime.spawn.owner import Owner

_REPOSITORY = "ninetynine-bench"


class DaemonBackend(abc.ABC):
    """Uses a daemon that runs on this host, or owns one (see `running` and `make_daemon`)."""

    name: str

    def __init__(self, root: Path) -> None:
        self._parent = root / self.name
        self._daemon: DaemonProcess | None = None
        self._api: DockerApi | None = None
        self._image = ""
        self._loaded = False
        self._started = Started()

    @abc.abstractmethod
    def probe(self) -> BackendInfo | NotAvailable:
        """Find out whether it runs here."""

    @abc.abstractmethod
    def unsupported(self, spec: InstanceSpec) -> str | None:
        """Why this system cannot start `spec`, or None when it can."""

    @abc.abstractmethod
    def running(self) -> DockerApi | None:
        """Return the host's running daemon, None when there is none or it must not be used."""

    @abc.abstractmethod
    def make_daemon(self, directory: Path) -> DaemonProcess:
        """Start a daemon for this run, with its files in `directory`."""

    @abc.abstractmethod
    def remove(self, directory: Path) -> None:
        """End what a daemon left that had `directory`, and delete it. Idempotent."""

    @abc.abstractmethod
    def client(self, api: DockerApi) -> tuple[str, ...]:
        """Return the start of its client's command lines."""

    @abc.abstractmethod
    def instance(self, api: DockerApi, spec: InstanceSpec) -> DaemonInstance:
        """Start one container."""

    def prepare(self, image: BenchImage) -> None:
        """Find or start the daemon, and load the image into it: the layers that all arms have."""
        self._sweep()
        if self._api is None:
            self._api = self.running()
        if self._api is None:
            self._daemon = self.make_daemon(owned.directory(self._parent))
            self._api = self._daemon.api
        self._image = f"{_REPOSITORY}:{image.digest.removeprefix('sha256:')[:16]}"
        if not self._has_image():
            self._load(image)

    def start(self, spec: InstanceSpec) -> DaemonInstance:
        """Start one container."""
        if self._api is None:
            raise BackendError(f"start {self.name}: prepare(image) was not called")
        if reason := self.unsupported(spec):
            raise BackendError(f"start {self.name}: {reason}")
        return self._started.add(self.instance(self._api, spec))

    def engine(self) -> Engine:
        """Return the daemon's images and containers."""
        if self._api is None:
            raise BackendError(f"reach {self.name}: prepare(image) was not called")
        kept = self._daemon.kept if self._daemon else dockerd.kept(self._api)
        pids = self._daemon.pids if self._daemon else dockerd.system_pids
        return DockerEngine(self._api, self._image, kept, pids, self.client(self._api), str(Owner.current()))

    def cleanup(self) -> None:
        """Remove our containers and image, end our daemon, and sweep what dead processes left."""
        daemon, api, loaded = self._daemon, self._api, self._loaded
        self._daemon = self._api = None
        self._loaded = False
        with contextlib.ExitStack() as stack:
            stack.callback(self._sweep)
            if daemon is not None:
                stack.callback(daemon.close)
            elif api is not None and loaded:
                stack.callback(api.ask, "DELETE", f"/images/{self._image}?force=1")
            stack.callback(self._started.stop)

    def _has_image(self) -> bool:
        assert self._api is not None
        images = self._api.ask("GET", "/images/json")
        return any(self._image in (image.get("RepoTags") or ()) for image in images)

    def _load(self, image: BenchImage) -> None:
        assert self._api is not None
        store = ImageStore(image.layout)
        chosen = Chosen(image=store.resolve(image.reference), names=(self._image,))
        answer = self._api.upload("POST", "/images/load?quiet=1", save(store, [chosen]))
        if b'"error"' in answer:
            words = answer.decode(errors="replace").strip()[-300:]
            raise BackendError(f"load {self._image} into {self.name}: {words}")
        self._loaded = True

    def _sweep(self) -> None:
        for directory in owned.abandoned(self._parent):
            self.remove(directory)
        running = self.running()
        if running is not None:
            query = '/containers/json?all=1&filters={"label":["' + LABEL + '"]}'
            for container in running.ask("GET", query.replace('"', "%22")):
                owner = Owner.parse(container["Labels"][LABEL])
                if owner is not None and not owner.is_alive():
                    running.ask("DELETE", f"/containers/{container['Id']}?force=1")
