"""The Backend protocol: the only way the suite reaches a system under test.

A backend only starts instances and runs programs; it does not measure, retry, average or decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from bench.errors import ExpectedError
from bench.model import BackendInfo, NetworkMode


class BackendError(ExpectedError):
    """An operation of a backend failed: names the operation, the object, and what to do next."""


class FailuresOf:
    """Turns errors of these kinds inside the block into a BackendError that names the operation, if any."""

    def __init__(self, operation: str, *kinds: type[Exception]) -> None:
        self._prefix = f"{operation}: " if operation else ""
        self._kinds = kinds

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._kinds):
            raise BackendError(f"{self._prefix}{error}") from error


class NotAvailable(msgspec.Struct, frozen=True):
    """This system cannot run here; `reason` is shown to users as it is."""

    reason: str


class BenchImage(msgspec.Struct, frozen=True, kw_only=True):
    """The image that all arms run, unpacked once. `layers` are directories, lowest first, in overlay form
    (whiteouts as character devices). `rootfs` is the same content flattened; no arm writes to it. `layout` is
    the OCI image layout."""

    layout: Path
    reference: str
    digest: str
    layer_digests: tuple[str, ...]
    layers: tuple[Path, ...]
    rootfs: Path
    source: str


class InstanceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to start, the same for all backends; one that cannot honour a field raises BackendError.

    `argv` is the main program, () an idle instance. With `until_output`, start() returns once the first byte
    of the program's standard output has reached the host. `volume` is a host directory, mounted at /volume
    (for a VM: a disk whose file is in that directory). `cpus` is the same set for every arm. `engine` asks
    for a system that keeps images and containers itself (see EngineBackend); nothing is started for it.
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

    ready_ns: exec and open work from then on. first_output_ns: None without `until_output`.
    """

    requested_ns: int
    ready_ns: int
    first_output_ns: int | None
    phases: tuple[tuple[str, int], ...]


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A finished program; exit_code is 128 + n if signal n ended it. Stamps are the host's."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes
    start_ns: int
    end_ns: int


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of memory or disk, and how they were counted (`pss`, `overlay upperdir by inode`)."""

    bytes: int
    method: str


class Channel(Protocol):
    """A long-lived program inside an instance, used through its standard input and output."""

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
        """The IPv4 address at which the host reaches a server inside; None without a network."""

    def exec(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 120.0) -> Completed:
        """Run a program beside the main one, to its end."""

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a long-lived program (the worker that runs short slices)."""

    def memory(self) -> Footprint:
        """Return the host memory that this instance uses now."""

    def disk(self) -> Footprint:
        """Return the host disk that this instance uses beyond the shared image, in blocks by inode."""

    def stop(self) -> None:
        """End the instance and free everything it held. Idempotent."""


class Backend(Protocol):
    """A system under test. `name` is what users type; probe() returns the final name (`vm` → `vm-tcg`)."""

    name: str

    def probe(self) -> BackendInfo | NotAvailable:
        """Find out by trying whether it runs here; cheap enough for `ninetynine doctor`."""

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """Return why this system cannot start `spec` (a VM has no host network mode), or None."""

    def prepare(self, image: BenchImage) -> None:
        """Convert the image for this system, cached by digest. Idempotent."""

    def start(self, spec: InstanceSpec) -> Instance:
        """Start one instance. A failed start leaves nothing behind."""

    def cleanup(self) -> None:
        """Free everything that this backend holds, and what killed runs left. Idempotent."""


class Engine(Protocol):
    """A daemon that keeps images and containers, as Docker's does. References and container ids are the
    daemon's.

    All methods block until the daemon is done, and raise BackendError with the daemon's message.
    """

    image: str
    """The reference of the run's image in the daemon."""

    def pull(self, reference: str) -> None:
        """Pull an image from its registry."""

    def push(self, reference: str) -> None:
        """Push an image to its registry."""

    def remove_image(self, reference: str) -> None:
        """Remove an image and the layers that no other image needs. A missing image is not an error."""

    def contents(self, reference: str) -> dict[str, str]:
        """Return name → sha256 of every file in the archive that the daemon saves of the image."""

    def create(self, reference: str, argv: Sequence[str]) -> str:
        """Create a container without a network or a log; return its id."""

    def start(self, container: str) -> None:
        """Start a container."""

    def wait(self, container: str) -> int:
        """Wait until a container ends; return its exit status."""

    def stop(self, container: str) -> None:
        """Stop a container by its stop signal, without a grace period."""

    def remove(self, container: str) -> None:
        """Remove a container, running or not."""

    def write(self, container: str, path: str, data: bytes) -> None:
        """Write a file into a container."""

    def commit(self, container: str, reference: str) -> None:
        """Make an image of a container."""

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command line of the daemon's client for these arguments."""

    def disk_bytes(self) -> int:
        """Return the bytes of all blocks on disk that the daemon uses."""

    def memory(self) -> Footprint:
        """Return the host memory of the daemon's processes, without those in containers."""


@runtime_checkable
class EngineBackend(Backend, Protocol):
    """A backend whose system is a daemon."""

    def engine(self) -> Engine:
        """Return the daemon, which prepare() made ready."""
