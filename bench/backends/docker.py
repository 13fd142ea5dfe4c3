"""Docker, through its API for starts (create, attach, start) and `docker exec -i` for programs in a
container.

The API is what Docker's own client would call; leaving that client out of the start favours Docker by the
client's own start (tens of milliseconds). A daemon that runs already is used; else one of our own is
started, without networks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.backends import docker_daemon, launch, mount_namespace, owned, processes
from bench.backends.base import (
    BackendError,
    BenchImage,
    Engine,
    Footprint,
    InstanceSpec,
    NotAvailable,
    StartRecord,
)
from bench.backends.docker_api import AttachedOutput, DockerApi
from bench.backends.docker_daemon import Daemon, OwnDaemon
from bench.backends.docker_engine import LABEL, DockerEngine
from bench.backends.environment import IDLE, environment, instance_mark
from bench.backends.main_program import FIRST_OUTPUT_TIMEOUT_S
from bench.backends.processes import HostChild
from bench.backends.programs import PipedPrograms
from bench.backends.started import Started
from bench.backends.streams import last_words
from bench.model import BackendInfo, NetworkMode
from runtime.image import ImageStore
from runtime.image.archives.saving import Chosen, save
from runtime.spawn.owner import Owner
from runtime.spawn.tape import pointers

_REPOSITORY = "ninetynine-bench"


class DockerBackend:
    """Uses the host's daemon, or owns one."""

    name = "docker"

    def __init__(self, root: Path) -> None:
        self._parent = root / self.name
        self._daemon: Daemon | None = None
        self._api: DockerApi | None = None
        self._image = ""
        self._loaded = False
        self._started = Started()

    def probe(self) -> BackendInfo | NotAvailable:
        """Look for a daemon that answers, or the programs to start one."""
        if shutil.which("docker") is None:
            return NotAvailable(
                "docker is not installed; run `nox -s setup -- --peers`, or install docker.io and docker-cli"
            )
        if os.geteuid() != 0:
            return NotAvailable("docker is measured as root only (its processes are weighed); run as root")
        running = docker_daemon.system_daemon()
        if running is not None:
            version = running.ask("GET", "/version")
            return self._info(str(version["Version"]), "the daemon that runs on this host", ())
        program = shutil.which("dockerd")
        if program is None:
            return NotAvailable("no Docker daemon answers, and dockerd is not installed to start one")
        if chroot := mount_namespace.why_unavailable():
            return NotAvailable(chroot)
        asked = subprocess.run([program, "--version"], capture_output=True, text=True)
        version_text = asked.stdout.removeprefix("Docker version ").partition(",")[0].strip()
        limits = ("no network modes bridge and nat: a daemon of our own makes no bridge on the host",)
        return self._info(version_text, "a daemon of our own", limits)

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """Its default bridge masquerades; a daemon of our own has no bridge."""
        if spec.network == "bridge":
            return "Docker's default bridge masquerades, which is the mode nat"
        if spec.network == "nat" and docker_daemon.system_daemon() is None:
            return "no Docker daemon runs here, and one of our own makes no bridge on the host"
        return None

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

    def start(self, spec: InstanceSpec) -> DockerInstance:
        """Start one container."""
        if self._api is None:
            raise BackendError(f"start {self.name}: prepare(image) was not called")
        if reason := self.unsupported(spec):
            raise BackendError(f"start {self.name}: {reason}")
        return self._started.add(self.instance(self._api, spec))

    def engine(self) -> Engine:
        """The daemon's images and containers."""
        if self._api is None:
            raise BackendError(f"reach {self.name}: prepare(image) was not called")
        kept = self._daemon.kept if self._daemon else docker_daemon.kept(self._api)
        pids = self._daemon.pids if self._daemon else docker_daemon.system_pids
        return DockerEngine(self._api, self._image, kept, pids, self.client(self._api), str(Owner.current()))

    def instance(self, api: DockerApi, spec: InstanceSpec) -> DockerInstance:
        """Start one container by the API of the daemon."""
        return DockerInstance(api, self.client(api), self._image, spec)

    def running(self) -> DockerApi | None:
        """The daemon that already runs on this host, if it is to be used."""
        return docker_daemon.system_daemon()

    def make_daemon(self, directory: Path) -> Daemon:
        """Start a daemon of our own."""
        return OwnDaemon(directory)

    def client(self, api: DockerApi) -> tuple[str, ...]:
        """The beginning of its client's command lines."""
        return (shutil.which("docker") or "docker", "--host", f"unix://{api.path}")

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

    def remove(self, directory: Path) -> None:
        """End what a daemon left that had `directory`, and delete it. Idempotent."""
        docker_daemon.remove(directory)

    def _info(self, version: str, daemon: str, limits: tuple[str, ...]) -> BackendInfo:
        details = {"daemon": daemon, "start": "API create, attach, start"}
        return BackendInfo(name=self.name, version=version, limits=limits, details=details)

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
            for found in running.ask("GET", query.replace('"', "%22")):
                owner = Owner.parse(found["Labels"][LABEL])
                if owner is not None and not owner.is_alive():
                    running.ask("DELETE", f"/containers/{found['Id']}?force=1")


class DockerInstance(PipedPrograms):
    """One container."""

    system = "docker"

    def __init__(self, api: DockerApi, client: tuple[str, ...], image: str, spec: InstanceSpec) -> None:
        super().__init__()
        self._api = api
        self._client = client
        self._cpus = launch.cpu_mask(spec.cpus)
        self._network = spec.network
        self._id = ""
        self._output: AttachedOutput | None = None
        self.stopped = False
        try:
            self.record = self._start(image, spec)
            self._state = api.ask("GET", f"/containers/{self._id}/json")
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str | None:
        """Its address on Docker's bridge; the host's loopback in host mode."""
        if self._network == "host":
            return "127.0.0.1"
        networks = self._state["NetworkSettings"]["Networks"].values()
        return next((str(net["IPAddress"]) for net in networks if net.get("IPAddress")), None)

    def memory(self) -> Footprint:
        """Proportional set size of its processes and of its shim; the daemon is not counted."""
        self._drain()
        pid = self._state["State"]["Pid"]
        members = processes.in_pid_namespace_of(pid)
        return Footprint(
            bytes=processes.pss([*members, processes.parent_of(pid)]).bytes, method="pss with shim"
        )

    def disk(self) -> Footprint:
        """Blocks on disk of the overlay's upper directory; Docker's own figure where it tells none."""
        driver = self._state.get("GraphDriver") or {}
        upper = (driver.get("Data") or {}).get("UpperDir")
        if upper:
            return Footprint(bytes=owned.disk_bytes(Path(upper)), method="overlay upperdir by inode")
        sized = self._api.ask("GET", f"/containers/{self._id}/json?size=1")
        return Footprint(bytes=int(sized["SizeRw"]), method="docker's SizeRw")

    def stop(self) -> None:
        """Kill and remove the container. Idempotent."""
        if self.stopped:
            return
        self.stopped = True
        with contextlib.ExitStack() as stack:
            if self._output is not None:
                stack.callback(self._output.close)
            stack.callback(self._close_channels)
            if self._id:
                stack.callback(self._api.ask, "DELETE", f"/containers/{self._id}?force=1")

    def _start(self, image: str, spec: InstanceSpec) -> StartRecord:
        argv = spec.argv or IDLE
        body = self._body(image, argv, spec)
        requested_ns = time.monotonic_ns()
        self._id = self._api.ask("POST", "/containers/create", body)["Id"]
        created_ns = time.monotonic_ns()
        if spec.until_output:
            self._output = AttachedOutput(self._api, self._id)
        try:
            self._api.ask("POST", f"/containers/{self._id}/start")
        except BackendError as error:
            raise BackendError(f"start {argv[0]} in {self.system}: {error}") from error
        ready_ns = time.monotonic_ns()
        phases, first_ns = [("create", created_ns - requested_ns), ("start", ready_ns - created_ns)], None
        if self._output is not None:
            first_ns = self._output.first_output(FIRST_OUTPUT_TIMEOUT_S)
            if first_ns is None:
                words = last_words(bytes(self._output.errors))
                raise BackendError(
                    f"start {argv[0]} in {self.system}: it ended without output; its last words: {words}"
                )
            phases.append(("program", max(0, first_ns - ready_ns)))
        return StartRecord(
            requested_ns=requested_ns, ready_ns=ready_ns, first_output_ns=first_ns, phases=tuple(phases)
        )

    def _exec(self, argv: Sequence[str], stdio: tuple[int, int, int]) -> HostChild:
        """Start it by `docker exec -i`."""
        mark = instance_mark()
        whole = [*self._client, "exec", "-i", "-e", mark, self._id, *argv]
        client_env = pointers(environment(mark))
        child = launch.start(self._client[0], whole, client_env, stdio, cpus=self._cpus)
        child.on_kill = lambda: self._kill_inside(mark.encode())
        return child

    def _kill_inside(self, mark: bytes) -> None:
        """Kill the program itself, found by its mark: killing the client would leave it running."""
        pid = self._state["State"]["Pid"]

        def find() -> list[int]:
            members = processes.in_pid_namespace_of(pid)
            return [member for member in members if processes.has_variable(member, mark)]

        processes.kill_all(find, f"a program in {self.system}")

    def _drain(self) -> None:
        if self._output is not None:
            self._output.drain()

    def network(self, mode: NetworkMode) -> str:
        """The daemon's name of a network mode."""
        return {"nat": "bridge"}.get(mode, mode)

    def cpuset(self, cpus: Sequence[int]) -> Sequence[int]:
        """The CPUs that the daemon has to be told, () where its containers are on them anyway."""
        return cpus

    def _body(self, image: str, argv: Sequence[str], spec: InstanceSpec) -> dict[str, Any]:
        host: dict[str, Any] = {
            "NetworkMode": self.network(spec.network),
            "CpusetCpus": ",".join(map(str, self.cpuset(spec.cpus))),
        }
        if spec.volume is not None:
            host["Binds"] = [f"{spec.volume}:/volume"]
        if spec.memory_max is not None:
            host["Memory"] = spec.memory_max
        return {
            "Image": image,
            "Cmd": list(argv),
            "Env": list(environment(instance_mark())),
            "Labels": {LABEL: str(Owner.current())},
            "HostConfig": host,
        }
