"""Find out what this host offers a tuned VM, by trying."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

import msgspec

from vm.disk import takes_direct_io
from vm.errors import VmUnavailableError

QBOOT = Path("/usr/share/qemu/qboot.rom")
_IO_URING_SETUP = 425


class HostAbilities(msgspec.Struct, frozen=True, kw_only=True):
    """The host's facts for the domain XML. tsc_khz: the TSC's rate, which TCG passes on to its guests."""

    emulator: str
    qboot: str | None
    direct_io: bool
    io_uring: bool
    vhost_net: bool
    free_hugepages_mib: int
    tsc_khz: int


def find_emulator() -> str:
    """Return the path of QEMU. VmUnavailableError names the package to install."""
    path = shutil.which("qemu-system-x86_64")
    if path is None:
        raise VmUnavailableError(
            "start a VM: qemu-system-x86_64 is not installed; install the package qemu-system-x86"
        )
    return path


def look(directory: Path) -> HostAbilities:
    """Return this host's abilities. directory: where the VMs' disks will be."""
    return HostAbilities(
        emulator=find_emulator(),
        qboot=str(QBOOT) if QBOOT.exists() else None,
        direct_io=takes_direct_io(directory),
        io_uring=has_io_uring(),
        vhost_net=_opens("/dev/vhost-net"),
        free_hugepages_mib=free_hugepages_mib(),
        tsc_khz=tsc_khz(Path("/proc/cpuinfo").read_text()),
    )


def has_io_uring() -> bool:
    """Return whether this process may set up a ring: kernel, sysctl or seccomp may forbid it."""
    parameters = ctypes.create_string_buffer(120)
    fd: int = ctypes.CDLL(None, use_errno=True).syscall(_IO_URING_SETUP, 1, parameters)
    if fd < 0:
        return False
    os.close(fd)
    return True


def free_hugepages_mib() -> int:
    """Return the MiB of free 2-MiB pages, 0 if no hugetlbfs is mounted (libvirt needs the mount)."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    if not any(line.split()[2] == "hugetlbfs" for line in mounts):
        return 0
    try:
        return 2 * int(Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
    except OSError:
        return 0


def tsc_khz(cpuinfo: str) -> int:
    """Return the TSC's rate from BogoMIPS, which x86 Linux derives from it (2 x MHz); 0 if unknown."""
    line = next((line for line in cpuinfo.splitlines() if line.startswith("bogomips")), "bogomips: 0")
    return round(float(line.partition(":")[2]) * 500)


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True
