"""Start, stop, save and restore libvirt's domains. Runs in the process of `vm.driver`.

libvirt-python is imported when first needed, so that `import vm` works on a machine without it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vm.errors import VmError, VmUnavailableError
from vm.owner import parse_mark

SCHEME_TEST = "test:"
SYSTEM_PIDS = Path("/run/libvirt/qemu")


def load_libvirt() -> Any:
    """Return the module libvirt. VmUnavailableError if libvirt-python is not installed."""
    try:
        import libvirt
    except ImportError as error:
        raise VmUnavailableError(
            "use libvirt: libvirt-python is not installed; install libvirt-dev, pkg-config and gcc, "
            "then `pip install ninetynine[vm]`"
        ) from error
    return libvirt


def start_event_loop() -> None:
    """Run libvirt's event loop in a daemon thread; needed before the first connection."""
    libvirt = load_libvirt()
    libvirt.registerErrorHandler(
        lambda _context, _error: None, None
    )  # errors are raised, so do not print them
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt-events", daemon=True).start()


class Domains:
    """One libvirt connection. Failures are VmErrors with libvirt's message."""

    def __init__(self, uri: str, home: Path) -> None:
        self._libvirt = load_libvirt()
        self._uri = uri
        self._pids = home / "run" / "qemu" if "/embed" in uri else SYSTEM_PIDS
        self._paused_start = not uri.startswith(SCHEME_TEST)
        try:
            self._connection = self._libvirt.open(f"{uri}?root={home}" if uri == "qemu:///embed" else uri)
            if self._paused_start:
                self._connection.getDomainCapabilities(
                    None, "x86_64"
                )  # probes QEMU now, not at the first start
        except self._libvirt.libvirtError as error:
            raise VmUnavailableError(
                f"connect to libvirt at {uri}: {error}; use qemu:///embed (needs the package "
                "libvirt-daemon-driver-qemu, no daemon) or start virtqemud"
            ) from error

    def version(self) -> str:
        """Return libvirt's and the hypervisor's version."""
        library, hypervisor = self._connection.getLibVersion(), self._connection.getVersion()
        return f"libvirt {_dotted(library)}, QEMU {_dotted(hypervisor)}"

    def start(self, name: str, xml: str) -> tuple[int, int]:
        """Define and create, paused if possible; return host ns after each. On error nothing is left."""
        domain = self._call(f"define {name}", lambda: self._connection.defineXML(xml))
        defined = time.monotonic_ns()
        flags = self._libvirt.VIR_DOMAIN_START_PAUSED if self._paused_start else 0
        try:
            self._call(f"start {name}", lambda: domain.createWithFlags(flags))
        except VmError:
            self.destroy(name)
            raise
        return defined, time.monotonic_ns()

    def resume(self, name: str) -> None:
        """Resume a paused domain; no-op if it runs."""
        domain = self._find(name)
        if domain.state()[0] == self._libvirt.VIR_DOMAIN_PAUSED:
            self._call(f"resume {name}", domain.resume)

    def suspend(self, name: str) -> None:
        """Stop the vCPUs and keep the memory."""
        self._call(f"suspend {name}", self._find(name).suspend)

    def destroy(self, name: str) -> None:
        """End a domain at once and undefine it, if it exists."""
        try:
            domain = self._connection.lookupByName(name)
        except self._libvirt.libvirtError:
            return
        try:
            domain.destroy()
        except self._libvirt.libvirtError as error:
            if self._runs(domain):
                raise VmError(f"stop {name}: {error}") from error
        try:
            domain.undefine()
        except self._libvirt.libvirtError as error:
            if error.get_error_code() != self._libvirt.VIR_ERR_NO_DOMAIN:
                raise VmError(f"forget {name}: {error}") from error

    def save(self, name: str, path: str) -> None:
        """Write memory and device state to `path`; the domain ends and is undefined."""
        domain = self._find(name)
        self._call(
            f"save {name} to {path} (needs libvirt_iohelper of libvirt-daemon-common)",
            lambda: domain.save(path),
        )
        self.destroy(name)

    def restore(self, name: str, path: str) -> int:
        """Load a saved domain, paused if the driver can; return host ns when libvirt is done."""
        flags = self._libvirt.VIR_DOMAIN_SAVE_PAUSED if self._paused_start else 0
        self._call(f"restore {name} from {path}", lambda: self._connection.restoreFlags(path, None, flags))
        return time.monotonic_ns()

    def active(self, name: str) -> bool:
        """Return whether the domain exists and runs (or is paused)."""
        try:
            return self._runs(self._connection.lookupByName(name))
        except self._libvirt.libvirtError:
            return False

    def pid(self, name: str) -> int:
        """Return QEMU's process id, 0 if the driver has no process."""
        if not self._paused_start:
            return 0
        try:
            return int((self._pids / f"{name}.pid").read_text())
        except (OSError, ValueError) as error:
            raise VmError(f"find the QEMU process of {name}: {error}; did it end already?") from error

    def sweep(self) -> list[str]:
        """End our domains whose owner is dead (a shared daemon keeps them); return their names."""
        ended = []
        for domain in self._connection.listAllDomains():
            name = domain.name()
            try:
                description = domain.metadata(self._libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, None)
            except self._libvirt.libvirtError:
                continue
            owner = parse_mark(description)
            if owner is not None and not owner.alive():
                self.destroy(name)
                ended.append(name)
        return ended

    def close(self) -> None:
        """Close the connection. Running domains keep running; destroy them first."""
        self._connection.close()

    def _find(self, name: str) -> Any:
        return self._call(f"find {name}", lambda: self._connection.lookupByName(name))

    def _runs(self, domain: Any) -> bool:
        try:
            return bool(domain.isActive())
        except self._libvirt.libvirtError:
            return False

    def _call(self, what: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except self._libvirt.libvirtError as error:
            raise VmError(
                f"{what}: {error}; libvirt refused, see libvirt.log in the harness's directory"
            ) from error


def _dotted(number: int) -> str:
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def quiet_signals() -> None:
    """Ignore the terminal's signals: the caller handles them, and closes our socket to end this process."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
