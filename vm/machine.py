"""A running VM and the programs in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vm.boot import Booted
from vm.client import AgentClient, Stream
from vm.config import SavedVm, VmCompleted, VmConfig
from vm.disk import disk_bytes
from vm.domain import VmFiles
from vm.driver_client import Driver
from vm.errors import GuestError, VmError


class VmChannel:
    """A long-lived program in the guest. Not for use from two threads at once."""

    def __init__(self, client: AgentClient, stream: Stream) -> None:
        self._client, self._stream = client, stream
        self._buffer = bytearray()
        self._closed = False

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self._stream.argv

    @property
    def first_output_ns(self) -> int | None:
        """The host ns of the first byte of standard output, None before that."""
        return self._stream.first_output_ns

    def write(self, data: bytes) -> None:
        """Send all of `data` to standard input; GuestError if the program has ended."""
        self._client.write(self._stream, data)

    def end_input(self) -> None:
        """Close the program's standard input."""
        self._client.end_input(self._stream)

    def read(self, timeout_s: float | None = None, stderr: bool = False) -> bytes:
        """Return available output, at least one byte; b"" once the program has ended and all was read."""
        if not stderr and self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return self._client.read(self._stream, timeout_s, stderr)

    def read_until(self, marker: bytes, timeout_s: float) -> bytes:
        """Return standard output up to and including `marker`. GuestError at its end, GuestTimeoutError."""
        deadline = time.monotonic() + timeout_s
        searched = 0
        while (found := self._buffer.find(marker, searched)) < 0:
            searched = max(0, len(self._buffer) - len(marker) + 1)
            data = self._client.read(self._stream, max(0.0, deadline - time.monotonic()))
            if not data:
                raise GuestError(
                    f"read {self.argv[0]} until {marker!r}: it ended after {bytes(self._buffer[-200:])!r}"
                )
            self._buffer += data
        end = found + len(marker)
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        return data

    def kill(self, signal_number: int) -> None:
        """Signal the program's process group."""
        self._client.kill(self._stream, signal_number)

    def wait(self, timeout_s: float | None = None) -> int:
        """Return its exit code, 128 + signal after a death by signal."""
        return self._client.wait_exit(self._stream, timeout_s).code

    def close(self) -> None:
        """Kill the program and forget it. Idempotent; no error if the guest is gone."""
        if not self._closed:
            self._closed = True
            self._client.discard(self._stream, 10.0)


class Vm:
    """One started guest. Made by `Harness.start` and `Harness.restore`."""

    def __init__(
        self,
        name: str,
        config: VmConfig,
        files: VmFiles,
        driver: Driver,
        booted: Booted,
        end: Callable[[Vm], None],
        save: Callable[[Vm, Path], SavedVm],
    ) -> None:
        self.name, self.config, self.files = name, config, files
        self.client, self.record = booted.client, booted.record
        self.main = VmChannel(booted.client, booted.main) if booted.main is not None else None
        self.pid = driver.pid(name)
        self._driver, self._end, self._save = driver, end, save
        self._stopped = False

    @property
    def address(self) -> str | None:
        """The IPv4 address of the guest, None without a network."""
        return self.config.network.address.partition("/")[0] if self.config.network else None

    def exec(
        self,
        argv: Sequence[str],
        stdin: bytes = b"",
        timeout_s: float = 120.0,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> VmCompleted:
        """Run a program to its end, or kill it at the timeout. Raises GuestError, GuestTimeoutError.

        It has ended when its first process has; children left in the background keep running.
        """
        start = time.monotonic_ns()
        stream = self.client.spawn(argv, env, cwd)
        exit_, stdout, stderr = self.client.communicate(stream, stdin, timeout_s)
        return VmCompleted(
            argv=tuple(argv),
            exit_code=exit_.code,
            stdout=stdout,
            stderr=stderr,
            start_ns=start,
            end_ns=stream.end_ns or time.monotonic_ns(),
            guest_ns=exit_.ended_ns - exit_.started_ns,
        )

    def open(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str = "/") -> VmChannel:
        """Start a long-lived program; the first read or write raises if it could not start."""
        return VmChannel(self.client, self.client.spawn(argv, env, cwd))

    def clock_ns(self) -> tuple[int, int]:
        """Return (guest CLOCK_BOOTTIME, host CLOCK_MONOTONIC) in the middle of a round trip, ns."""
        sent, boot, _, received = self.client.ping()
        return boot, (sent + received) // 2

    def pss_bytes(self) -> int:
        """Return the proportional set size of the QEMU process. VmError if it has ended."""
        path = Path(f"/proc/{self.pid}/smaps_rollup")
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise VmError(f"memory of {self.name}: {path}: {error.strerror}; has the VM ended?") from error
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

    def overlay_bytes(self) -> int:
        """Return the bytes on disk that this VM takes beyond the shared image and a data disk."""
        return disk_bytes(self.files.overlay)

    def reboot(self, timeout_s: float = 120.0) -> None:
        """Reboot a guest that has its own `init`, until its agent says hello again."""
        self.client.wait_hello_again(["systemctl", "reboot"], timeout_s)

    def power_off(self, timeout_s: float = 10.0) -> None:
        """Shut the guest down cleanly, then free all resources. GuestTimeoutError if it does not end."""
        self.client.power_off()
        try:
            self.client.wait_closed(timeout_s)
        finally:
            self.stop()

    def pause(self) -> None:
        """Stop its vCPUs, so that it does not disturb measurements; memory and sockets stay."""
        self._driver.suspend(self.name)

    def resume(self) -> None:
        """Resume its vCPUs."""
        self._driver.resume(self.name)

    def save(self, path: Path) -> SavedVm:
        """Write memory and disks to `path` (and beside it); the VM ends."""
        return self._save(self, path)

    def stop(self) -> None:
        """End it at once and free all resources. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._end(self)

    def __enter__(self) -> Vm:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
