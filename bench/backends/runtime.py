"""Containers of our own runtime, started in this process by `runtime.engine`, without a daemon.

They have all namespaces that Docker makes, an overlay of the image's layers, a cgroup, and Docker's seccomp
filter and capabilities. A start is stamped before the engine's create(), so planning is part of it; the
phases after that are the engine's own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.backends.base import (
    BackendError,
    BenchImage,
    FailuresOf,
    Footprint,
    InstanceSpec,
    NotAvailable,
    StartRecord,
)
from bench.backends.programs import processes
from bench.backends.programs.environment import IDLE, environment, instance_mark
from bench.backends.programs.launch import pinned
from bench.backends.programs.main_program import MainStreams
from bench.backends.programs.piped import StreamedPrograms
from bench.backends.programs.started import Started
from bench.backends.programs.streams import Child
from bench.model import BackendInfo
from runtime.engine import ContainerConfig, Engine, EngineError, Limits, bind
from runtime.network.errors import NetworkError
from runtime.oci.defaults import NAMESPACES
from runtime.spawn.cgroups import CgroupError


class RuntimeBackend:
    """Holds one engine for the life of the run."""

    name = "runtime"

    def __init__(self, root: Path) -> None:
        self._root = root / "runtime"
        self._engine: Engine | None = None
        self._layers: tuple[str, ...] = ()
        self._started = Started()

    def probe(self) -> BackendInfo | NotAvailable:
        """Open and close an engine, which checks for root, cgroups and a file system for overlays."""
        if os.geteuid() != 0:
            return NotAvailable("containers need root here (namespaces, overlay, cgroups); run as root")
        try:
            Engine(self._root).close()
        except (EngineError, CgroupError, OSError) as error:
            return NotAvailable(f"the container engine cannot work on this host: {error}")
        return BackendInfo(
            name=self.name,
            kind="container",
            version=f"ninetynine {_version()}",
            details={
                "start": "clone3 + tape, in process",
                "seccomp": "Docker's default",
                "network": "pooled namespaces on the daemon's kind of bridge",
            },
        )

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """None: every spec can be started."""
        return None

    def prepare(self, image: BenchImage) -> None:
        """Open the engine, which also frees what dead engines left."""
        self._layers = tuple(str(layer) for layer in image.layers)
        if self._engine is None:
            self._engine = Engine(self._root)

    def start(self, spec: InstanceSpec) -> RuntimeInstance:
        """Start one container."""
        if self._engine is None:
            raise BackendError("start a container: prepare(image) was not called")
        return self._started.add(RuntimeInstance(self._engine, self._layers, spec))

    def cleanup(self) -> None:
        """Remove our containers and all that dead engines left."""
        with _failures_of("clean up containers"), contextlib.ExitStack() as stack:
            engine, self._engine = self._engine or Engine(self._root), None
            stack.callback(engine.close)
            stack.callback(engine.sweep)
            stack.callback(self._started.stop)


class RuntimeInstance(StreamedPrograms):
    """One container."""

    def __init__(self, engine: Engine, layers: tuple[str, ...], spec: InstanceSpec) -> None:
        super().__init__()
        self._cpus = spec.cpus
        self._shares_network = spec.network == "host"
        self._streams = MainStreams(spec.until_output)
        self._argv = spec.argv or IDLE
        self._environment = environment(instance_mark())
        config = _config(layers, spec, self._argv, self._environment)
        self._requested_ns = time.monotonic_ns()
        try:
            self._container = engine.create(config)
        except (EngineError, ValueError, OSError) as error:
            self._streams.close()
            raise BackendError(f"plan a container for {self._argv[0]}: {error}") from error
        try:
            self.record = self._start()
        except (EngineError, CgroupError, NetworkError, OSError) as error:
            self.stop()
            raise BackendError(f"start {self._argv[0]} in a container: {error}") from error
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str | None:
        """Its address on the bridge; the host's loopback in host mode."""
        return "127.0.0.1" if self._shares_network else self._container.address

    def memory(self) -> Footprint:
        """Proportional set size of the processes in its pid namespace."""
        self._drain()
        return processes.pss(processes.in_pid_namespace_of(self._container.pid))

    def disk(self) -> Footprint:
        """Blocks on disk of the overlay's upper directory."""
        return Footprint(bytes=self._container.disk_bytes(), method="overlay upperdir by inode")

    def stop(self) -> None:
        """Kill and remove the container. Idempotent."""
        with _failures_of("stop a container"):
            super().stop()

    def _release(self, stack: contextlib.ExitStack) -> None:
        super()._release(stack)
        stack.callback(self._container.remove)

    def _start(self) -> StartRecord:
        # The program inherits the CPUs of the thread that starts it, as on the host: no cpuset to write.
        with pinned(self._cpus):
            record = self._container.start(*self._streams.descriptors)
        ready_ns = time.monotonic_ns()
        self._streams.program_has_them()
        phases = [("plan", record.requested_ns - self._requested_ns), *record.phases]
        return self._record(self._requested_ns, ready_ns, phases, f"{self._argv[0]} in a container")

    def _exec(self, argv: Sequence[str], stdio: tuple[int, int, int]) -> Child:
        try:
            with pinned(self._cpus):
                return self._container.exec(tuple(argv), *stdio, env=self._environment)
        except (EngineError, OSError) as error:
            raise BackendError(f"exec {argv[0]} in a container: {error}") from error


def _failures_of(operation: str) -> FailuresOf:
    return FailuresOf(operation, EngineError, CgroupError, NetworkError, OSError)


def _config(
    layers: tuple[str, ...], spec: InstanceSpec, argv: tuple[str, ...], env: tuple[str, ...]
) -> ContainerConfig:
    return ContainerConfig(
        layers=layers,
        argv=argv,
        env=env,
        network=spec.network,
        namespaces=tuple(n for n in NAMESPACES if not (n == "network" and spec.network == "host")),
        mounts=(bind(spec.volume, "/volume"),) if spec.volume else (),
        limits=Limits(memory_max=spec.memory_max),
        cgroup_view=True,  # as in every container of nnd
    )


def _version() -> str:
    try:
        return metadata.version("ninetynine")
    except metadata.PackageNotFoundError:
        return "from source"
