"""The ledger of a harness directory, and the removal of everything that a dead owner left.

A harness keeps its files in `root/<id>/`: an `owner` file, libvirt's embedded root, the VMs' sockets and
overlays. Files elsewhere (data disks) are listed in `owner`. A QEMU process is found, and only killed, if its
command line names the VM.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from vm.errors import VmError
from vm.network import remove_tap, stale_taps
from vm.owner import Owner

OWNER_FILE = "owner"


class Ledger(msgspec.Struct, kw_only=True):
    """The owner file: the processes of harness and driver, the VMs' names and their files elsewhere."""

    owner: Owner
    driver: Owner | None = None
    names: list[str] = []
    files: list[str] = []

    def write(self, home: Path) -> None:
        """Replace the file atomically."""
        scratch = home / f".{OWNER_FILE}"
        scratch.write_bytes(msgspec.json.encode(self))
        scratch.rename(home / OWNER_FILE)


def read_ledger(home: Path) -> Ledger | None:
    """Return the ledger of a directory; None if it is not a harness's."""
    try:
        return msgspec.json.decode((home / OWNER_FILE).read_bytes(), type=Ledger)
    except (OSError, msgspec.MsgspecError):
        return None


def sweep_root(root: Path) -> list[str]:
    """Clear harness directories below `root` whose owner is dead, and stale taps; return what was removed."""
    removed = []
    for home in sorted(p.parent for p in root.glob(f"*/{OWNER_FILE}")):
        ledger = read_ledger(home)
        if ledger is None or ledger.owner.alive():
            continue
        if ledger.driver is not None:
            _kill(ledger.driver.pid, ledger.driver.alive, 10.0)  # it is cleaning up as well: let it finish
        clear_home(home)
        removed.append(str(home))
    for name in stale_taps():
        remove_tap(name)
        removed.append(f"link {name}")
    return removed


def clear_home(home: Path, destroy: Callable[[str], None] | None = None) -> None:
    """End the VMs of one harness and remove its files and taps. destroy: ends a VM through libvirt."""
    ledger = read_ledger(home)
    for name in ledger.names if ledger else ():
        if destroy is not None:
            with contextlib.suppress(VmError):  # the process is looked for next in any case
                destroy(name)
        end_vm(name)
    for path in ledger.files if ledger else ():
        Path(path).unlink(missing_ok=True)
    _end_probes(home)
    shutil.rmtree(home, ignore_errors=True)


def _end_probes(home: Path) -> None:
    """Kill QEMUs that libvirt was probing when its process was killed."""
    for file in home.glob("**/qmp-*/qmp.pid"):
        with contextlib.suppress(OSError, ValueError):
            _kill_if_named(int(file.read_text()), str(file).encode())


def end_vm(name: str) -> None:
    """Kill a VM's QEMU without libvirt, and remove its tap, if they exist."""
    for pid in qemu_processes(name):
        kill_qemu(pid, name)
    remove_tap(name)


def kill_qemu(pid: int, name: str) -> None:
    """Kill a process and wait for its end, if it is the QEMU of that VM."""
    _kill_if_named(pid, _mark(name))


def _kill_if_named(pid: int, mark: bytes) -> None:
    _kill(pid, lambda: _is_named(mark, Path(f"/proc/{pid}")))


def _kill(pid: int, is_ours: Callable[[], bool], grace_s: float = 0.0) -> None:
    """Kill a process and wait for its end, if it is ours and does not end by itself within the grace."""
    try:
        fd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return
    try:
        # Checked after the open, so that it is this process.
        if is_ours() and not select.select([fd], [], [], grace_s)[0]:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [], 10.0)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def qemu_processes(name: str) -> list[int]:
    """Return the processes whose command line has `guest=NAME`: QEMUs that libvirt started for this VM."""
    entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [int(entry.name) for entry in entries if _is_named(_mark(name), entry)]


def _mark(name: str) -> bytes:
    return f"guest={name},".encode()


def _is_named(mark: bytes, entry: Path) -> bool:
    try:
        return mark in (entry / "cmdline").read_bytes()
    except OSError:
        return False
