"""The client of `vm.driver`: start that process, call it, end it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import msgspec

from vm import errors
from vm.errors import VmError
from vm.owner import Owner, of


class Driver(Protocol):
    """What the harness needs of libvirt: `vm.libvirt_domains.Domains`, or `DriverProcess`."""

    def version(self) -> str:
        """Versions of libvirt and QEMU."""

    def start(self, name: str, xml: str) -> tuple[int, int]:
        """Define and create; host ns after each."""

    def resume(self, name: str) -> None:
        """Let it run."""

    def suspend(self, name: str) -> None:
        """Stop its vCPUs."""

    def destroy(self, name: str) -> None:
        """End and forget it. Idempotent."""

    def save(self, name: str, path: str) -> None:
        """Save and end it."""

    def restore(self, name: str, path: str) -> int:
        """Load it again; host ns when done."""

    def active(self, name: str) -> bool:
        """Whether it runs."""

    def pid(self, name: str) -> int:
        """QEMU's process id; 0 when there is no process."""

    def sweep(self) -> list[str]:
        """End what dead makers left in a shared libvirt."""

    def close(self) -> None:
        """Give the connection up."""


class DriverProcess:
    """A `Driver` in a child process. Calls block and are made one at a time."""

    def __init__(self, uri: str, home: Path) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._stream = ours.makefile("rwb")
        self._lock = threading.Lock()
        self._calls = 0
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(p for p in (str(Path(__file__).parent.parent), *sys.path) if p),
            "LIBVIRT_LOG_OUTPUTS": f"3:file:{home}/libvirt.log",
        }
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vm.driver", str(theirs.fileno()), str(home), uri, str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._version: str = self._call("open")
        except BaseException:
            self.close()
            raise

    @property
    def owner(self) -> Owner:
        """The driver's process, for the owner file."""
        return of(self._process.pid)

    def version(self) -> str:
        """Versions of libvirt and QEMU."""
        return self._version

    def start(self, name: str, xml: str) -> tuple[int, int]:
        """Define and create; host ns after each."""
        defined, created = self._call("start", name, xml)
        return defined, created

    def resume(self, name: str) -> None:
        """Let it run."""
        self._call("resume", name)

    def suspend(self, name: str) -> None:
        """Stop its vCPUs."""
        self._call("suspend", name)

    def destroy(self, name: str) -> None:
        """End and forget it. Idempotent."""
        self._call("destroy", name)

    def save(self, name: str, path: str) -> None:
        """Save and end it."""
        self._call("save", name, path)

    def restore(self, name: str, path: str) -> int:
        """Load it again; host ns when done."""
        return int(self._call("restore", name, path))

    def active(self, name: str) -> bool:
        """Whether it runs."""
        return bool(self._call("active", name))

    def pid(self, name: str) -> int:
        """QEMU's process id; 0 when there is no process."""
        return int(self._call("pid", name))

    def sweep(self) -> list[str]:
        """End what dead makers left in a shared libvirt."""
        return list(self._call("sweep"))

    def close(self) -> None:
        """Close the connection; the process ends all VMs, clears the home directory and exits. Idempotent."""
        try:
            self._stream.close()
            self._socket.close()
        except OSError:
            pass
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _call(self, op: str, *args: Any) -> Any:
        with self._lock:
            self._calls += 1
            try:
                answer = self._exchange({"id": self._calls, "op": op, "args": args})
            except (OSError, ValueError) as error:
                raise VmError(f"libvirt driver: {op}: {error}; start a new harness") from error
        if answer is None:
            raise VmError(
                f"libvirt driver: {op}: its process ended; start a new harness, which cleans up after it"
            )
        if "error" in answer:
            kind = getattr(errors, answer["kind"], VmError)
            raise kind(answer["error"])
        return answer["ok"]

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Send a request and return its answer; None if the process is gone.

        Answers to earlier calls, which Ctrl-C may have interrupted, are skipped.
        """
        self._stream.write(msgspec.json.encode(request) + b"\n")
        self._stream.flush()
        for line in self._stream:
            answer: dict[str, Any] = msgspec.json.decode(line)
            if answer["id"] == request["id"]:
                return answer
        return None
