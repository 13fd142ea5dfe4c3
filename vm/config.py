"""The configuration of a VM and the results of starts and programs, as frozen structs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Accelerator = Literal["kvm", "tcg"]
Profile = Literal["tuned", "untuned"]
Machine = Literal["q35", "microvm"]


class VmImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest boots from, shared by VMs and never written: kernel, initramfs, disk, empty overlay."""

    digest: str
    kernel_version: str
    vmlinux: Path
    vmlinuz: Path
    initramfs: Path
    base: Path
    overlay: Path


class VmNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """One tap. With `bridge` it joins that bridge; else the host's end gets `host_address`.

    Addresses are IPv4 with a prefix length (`10.0.0.2/24`), `gateway` without one.
    """

    address: str
    gateway: str | None = None
    bridge: str | None = None
    host_address: str | None = None


class VmConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One VM to start.

    profile: `untuned` is what a default tool writes, `tuned` uses everything this host has (see `vm.domain`).
    cpus: host CPUs for the vCPUs (in turn) and for QEMU's other threads; () pins nothing.
    data_disk_mib: an ext4 disk at /volume, blank or a copy of the directory `data_content`; 0 for none. Its
        file is in `data_dir` (default: beside the overlay).
    argv: the main program, spawned as soon as the agent is up; () for an idle guest.
    until_output: start() returns once the first byte of its standard output has reached the host.
    init: the root's own init, which must be systemd: it becomes pid 1, starts the agent as a unit, and sets
    up
        the network (systemd-network-generator reads it). With "" the agent is pid 1.
    """

    image: VmImage
    profile: Profile = "tuned"
    machine: Machine = "q35"
    memory_mib: int = 512
    vcpus: int = 1
    cpus: tuple[int, ...] = ()
    network: VmNetwork | None = None
    data_disk_mib: int = 0
    data_dir: Path | None = None
    data_content: Path | None = None
    hostname: str = "ninetynine"
    argv: tuple[str, ...] = ()
    env: dict[str, str] = {}
    until_output: bool = False
    kernel_arguments: str = ""
    init: str = ""
    timeout_s: float = 60.0


class VmRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One start, on the host's CLOCK_MONOTONIC, ns. `phases` are (name, duration) in chronological order.

    A boot has the phases prepare (overlay, tap), define, create (libvirt starts QEMU, paused), firmware (to
    zero of the kernel's clock), kernel (to the agent's start), init (to hello) and, with `until_output`,
    program. A restore has prepare, create and resume (to the agent's answer).
    """

    way: Literal["start", "restore"]
    requested_ns: int
    ready_ns: int
    first_output_ns: int | None
    phases: tuple[tuple[str, int], ...]

    def phase_ns(self, name: str) -> int:
        """Return the duration of one phase; KeyError if this way of starting does not have it."""
        return dict(self.phases)[name]


class VmCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """A finished program. exit_code: 128 + signal after a death by signal. guest_ns: by the guest's clock."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes
    start_ns: int
    end_ns: int
    guest_ns: int


class SavedVm(msgspec.Struct, frozen=True, kw_only=True):
    """A saved guest: memory in `path`, its disks beside it. It can be restored many times, one by one."""

    path: Path
    name: str
    config: VmConfig
    disks: tuple[tuple[Path, Path], ...]
