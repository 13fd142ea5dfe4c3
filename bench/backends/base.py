"""The Backend protocol: the only way the suite reaches a system under test.

A backend translates; it does not measure, retry, average or decide. A new system is one new file here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from bench.model import BackendInfo, NetworkMode


class BackendError(Exception):
    """A backend could not do what was asked: names the operation, the object, and what to do next."""


class NotAvailable(msgspec.Struct, frozen=True):
    """This system cannot run here; `reason` is shown to the reader as it stands."""

    reason: str


class BenchImage(msgspec.Struct, frozen=True, kw_only=True):
    """The one image, unpacked once. `layers` are directories, lowest first, in overlay form (whiteouts as
    character devices); `rootfs` is the same content flattened, never written to by an arm; `layout` is the
    OCI image layout; `tar` is made only for peers that import one."""

    layout: Path
    reference: str
    digest: str
    layer_digests: tuple[str, ...]
    layers: tuple[Path, ...]
    rootfs: Path
    source: str


class InstanceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to start. Equal for all backends; a backend that cannot honour a field raises BackendError.

    `argv` is the main program, () an idle instance. With `until_output`, start() returns once the first byte
    of the program's standard output has reached the host. `volume` is a host directory seen at /volume
    (a VM gets a disk of its own there). `cpus` is the same set for every arm. `engine` asks for a system that
    keeps images and containers by itself (see EngineBackend); nothing is started for it.
    """

    argv: tuple[str, ...] = ()
    network: NetworkMode = "none"
    volume: Path | None = None
    cpus: tuple[int, ...] = ()
    memory_max: int | None = None
    until_output: bool = False
    engine: bool = False


class StartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Stamps of one start, host CLOCK_MONOTONIC ns. `phases` are (name, duration_ns) in order of time.

    ready_ns: the instance takes exec and open. first_output_ns: None unless `until_output` was asked for.
    """

    requested_ns: int
    ready_ns: int
    first_output_ns: int | None
    phases: tuple[tuple[str, int], ...]


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A finished program; a signal death is 128 + signal. Stamps are the host's."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes
    start_ns: int
    end_ns: int


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of memory or disk, with the method that gave them (`pss`, `overlay upperdir by inode`)."""

    bytes: int
    method: str


class Channel(Protocol):
    """A long-lived program inside an instance, spoken to through its standard input and output."""

    def write(self, data: bytes) -> None:
        """Send all of `data` to the program's standard input; BackendError when it has ended."""

    def read_until(self, marker: bytes, timeout_s: float) -> bytes:
        """Return all output up to and including `marker`; BackendError on end of file or timeout."""

    def close(self) -> None:
        """End the program and reap it. Idempotent."""


class Instance(Protocol):
    """A started instance: a process on the host, a container, or a VM."""

    record: StartRecord

    @property
    def address(self) -> str | None:
        """IPv4 address where the host reaches a server inside, or None without a network."""

    def exec(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 120.0) -> Completed:
        """Run a program beside the main one, to its end."""

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a long-lived program (the worker that runs short slices)."""

    def memory(self) -> Footprint:
        """Host memory this instance costs now."""

    def disk(self) -> Footprint:
        """Host disk this instance costs beyond the shared image, blocks on disk by inode."""

    def stop(self) -> None:
        """End it and free all it held. Idempotent."""


class Backend(Protocol):
    """A system under test. `name` is what the user types; probe() gives the final name (`vm` → `vm-tcg`)."""

    name: str

    def probe(self) -> BackendInfo | NotAvailable:
        """Find out whether it runs here, by trying; cheap enough for `ninetynine doctor`."""

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """Why this system cannot start `spec` (a VM has no host network mode), or None when it can."""

    def prepare(self, image: BenchImage) -> None:
        """Bring the image into this system's form, cached by digest. Idempotent."""

    def start(self, spec: InstanceSpec) -> Instance:
        """Start one instance; on failure nothing is left behind."""

    def cleanup(self) -> None:
        """Free everything of this backend, also what a killed run left. Idempotent."""


class Engine(Protocol):
    """A daemon that keeps images and containers, as Docker's does. References and container ids are its own.

    All methods block until the daemon has done it, and raise BackendError with the daemon's words.
    """

    image: str
    """The run's image there."""

    def pull(self, reference: str) -> None:
        """Bring an image from its registry."""

    def push(self, reference: str) -> None:
        """Send an image to its registry."""

    def remove_image(self, reference: str) -> None:
        """Remove an image with the layers nobody else needs. One that is not there is no error."""

    def contents(self, reference: str) -> dict[str, str]:
        """Name → sha256 of every file of the image as the daemon would save it, read anew."""

    def create(self, reference: str, argv: Sequence[str]) -> str:
        """Make a container without a network or a log; return its id."""

    def start(self, container: str) -> None:
        """Start it."""

    def wait(self, container: str) -> int:
        """Wait for its end; return its exit status."""

    def stop(self, container: str) -> None:
        """End it by its stop signal, without a grace."""

    def remove(self, container: str) -> None:
        """Remove it, running or not."""

    def write(self, container: str, path: str, data: bytes) -> None:
        """Put a file into it."""

    def commit(self, container: str, reference: str) -> None:
        """Make an image of it."""

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command line of its client, for these arguments."""

    def disk_bytes(self) -> int:
        """Blocks on disk of all it keeps."""

    def memory(self) -> Footprint:
        """Host memory of all its own processes; those in containers are not among them."""


@runtime_checkable
class EngineBackend(Backend, Protocol):
    """A backend whose system has a daemon of its own."""

    def engine(self) -> Engine:
        """The daemon, ready since prepare()."""
