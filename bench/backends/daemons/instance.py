"""A container of a daemon that speaks Docker's API: started by create, attach, start; programs by `exec -i`.

The API is what the daemon's own client would call. Leaving that client out of a start favours the daemon by
the client's own start: tens of milliseconds for `docker`.
"""

from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.backends.base import BackendError, Footprint, InstanceSpec, StartRecord
from bench.backends.daemons.docker_api import AttachedOutput, DockerApi
from bench.backends.daemons.docker_engine import LABEL
from bench.backends.programs import launch, processes
from bench.backends.programs.environment import IDLE, environment, instance_mark
from bench.backends.programs.main_program import FIRST_OUTPUT_TIMEOUT_S
from bench.backends.programs.piped import PipedPrograms
from bench.backends.programs.processes import HostChild
from bench.backends.programs.streams import last_words
from bench.backends.resources import owned
from bench.model import NetworkMode
from runtime.spawn.owner import Owner
from runtime.spawn.tape import pointers


class DaemonInstance(PipedPrograms, abc.ABC):
    """One container. `system` names the daemon in messages."""

    system: str

    def __init__(self, api: DockerApi, client: tuple[str, ...], image: str, spec: InstanceSpec) -> None:
        super().__init__()
        self._api = api
        self._client = client
        self._cpus = launch.cpu_mask(spec.cpus)
        self._network = spec.network
        self._id = ""
        self._output: AttachedOutput | None = None
        try:
            self.record = self._start(image, spec)
            self._state = api.ask("GET", f"/containers/{self._id}/json")
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The main program's process id on the host."""
        return int(self._state["State"]["Pid"])

    @property
    def address(self) -> str | None:
        """Its address on Docker's bridge; the host's loopback in host mode."""
        if self._network == "host":
            return "127.0.0.1"
        networks = self._state["NetworkSettings"]["Networks"].values()
        return next((str(net["IPAddress"]) for net in networks if net.get("IPAddress")), None)

    def disk(self) -> Footprint:
        """Blocks on disk of the overlay's upper directory; Docker's own figure when it does not name one."""
        driver = self._state.get("GraphDriver") or {}
        upper = (driver.get("Data") or {}).get("UpperDir")
        if upper:
            return Footprint(bytes=owned.disk_bytes(Path(upper)), method="overlay upperdir by inode")
        sized = self._api.ask("GET", f"/containers/{self._id}/json?size=1")
        return Footprint(bytes=int(sized["SizeRw"]), method="docker's SizeRw")

    def _release(self, stack: contextlib.ExitStack) -> None:
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
            # The first byte may arrive before the answer to start.
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

        def find() -> list[int]:
            members = processes.in_pid_namespace_of(self.pid)
            return [member for member in members if processes.has_variable(member, mark)]

        processes.kill_all(find, f"a program in {self.system}")

    def _drain(self) -> None:
        if self._output is not None:
            self._output.drain()

    @abc.abstractmethod
    def memory(self) -> Footprint:
        """Host memory of the container, without the daemon."""

    @abc.abstractmethod
    def network(self, mode: NetworkMode) -> str:
        """Return the daemon's name of a network mode."""

    def cpuset(self, cpus: Sequence[int]) -> Sequence[int]:
        """Return the CPUs to pass to the daemon, () when its containers are on them anyway."""
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
