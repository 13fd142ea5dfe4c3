"""A harness's own directory below the root: libvirt's files, sockets, overlays, and its ledger."""

from __future__ import annotations

import secrets
from pathlib import Path

from vm import owner
from vm.domain import VmFiles
from vm.errors import VmError
from vm.leftovers import Ledger, clear_home, sweep_root
from vm.owner import Owner

SOCKET_PATH_MAX = 107
_LONGEST_SOCKET = "lib/qemu/domain-99-nv01234567/monitor.sock"

QEMU_CONF = """\
stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
capability_filters = ["cpu-unavailable-features"]
"""
"""For the embedded driver: no daemon, no security labels, no cgroups by libvirt; the caller places QEMU. The
filter makes libvirt read the CPU's features in two queries instead of 400, which saves 0.25 s at each
start."""


class Home:
    """Made when first needed, removed by `close` or, after its maker died, by a sweep."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.path = root / secrets.token_hex(3)
        if (excess := len(f"{self.path}/{_LONGEST_SOCKET}") - SOCKET_PATH_MAX) > 0:
            raise VmError(
                f"use {root} for VMs: its path is {excess} bytes too long for libvirt's sockets; "
                "choose a shorter root such as /run/ninetynine"
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
            sweep_root(root)
            self.path.mkdir(mode=0o755)
            self._ledger = Ledger(owner=owner.current())
            self._ledger.write(self.path)
            _furnish(self.path, cache / "libvirt-capabilities")
        except OSError as error:
            raise VmError(
                f"use {root} for VMs: {error.filename}: {error.strerror}; check the rights and the free space"
            ) from error

    @property
    def owner(self) -> Owner:
        """The process that made this directory."""
        return self._ledger.owner

    @property
    def names(self) -> tuple[str, ...]:
        """The VMs that exist or are being made."""
        return tuple(self._ledger.names)

    def set_driver(self, driver: Owner) -> None:
        """Record the driver's process, for which a sweep has to wait."""
        self._ledger.driver = driver
        self._ledger.write(self.path)

    def enter(self, name: str, files: VmFiles) -> None:
        """Record a VM, before anything of it exists."""
        self._ledger.names.append(name)
        self._ledger.files += [str(p) for p in files.disks() if p.parent != self.path]
        self._ledger.write(self.path)

    def forget(self, name: str, files: VmFiles) -> None:
        """Remove a VM's files and its record."""
        for path in (files.agent, files.console, *files.disks()):
            path.unlink(missing_ok=True)
        gone = {str(path) for path in files.disks()}
        self._ledger.names = [n for n in self._ledger.names if n != name]
        self._ledger.files = [f for f in self._ledger.files if f not in gone]
        if self.path.exists():
            self._ledger.write(self.path)

    def close(self) -> None:
        """End running VMs and remove the directory. Idempotent."""
        clear_home(self.path)


def _furnish(home: Path, capabilities: Path) -> None:
    """Make libvirt's embedded root. QEMU's probed capabilities are shared: probing takes seconds."""
    (home / "etc").mkdir()
    (home / "etc" / "qemu.conf").write_text(QEMU_CONF)
    capabilities.mkdir(parents=True, exist_ok=True)
    (home / "cache" / "qemu").mkdir(parents=True)
    (home / "cache" / "qemu" / "capabilities").symlink_to(capabilities)
