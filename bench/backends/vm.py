"""Virtual machines through libvirt and QEMU, booted by `vm.harness`. `vm` is tuned; `vm-untuned` has the
settings of a default tool.

The final name contains the accelerator (`vm-kvm`, `vm-tcg-untuned`), because a figure from emulation says
nothing about virtual machines in general. The guest's root is an ext4 base disk made from the image, with a
copy-on-write overlay per VM. A volume is a disk whose file is in the given directory. A start lasts from the
request to the first byte of the program on the host, firmware and kernel included.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.backends.base import (
    BackendError,
    BenchImage,
    Channel,
    Completed,
    FailuresOf,
    Footprint,
    InstanceSpec,
    NotAvailable,
    StartRecord,
)
from bench.backends.programs.environment import environment, instance_mark
from bench.backends.programs.started import Started
from bench.backends.resources import networks
from bench.model import BackendInfo
from vm.config import Accelerator, Profile, VmConfig, VmImage, VmNetwork
from vm.errors import VmError
from vm.harness import Harness
from vm.machine import Vm, VmChannel
from vm.probe import usable_kvm

MEMORY_MIB = 1024
VOLUME_MIB = 1024
_LONGEST_ROOT = 50
"""Bytes of the path of a directory for sockets: libvirt appends its own names, up to the limit of 107."""


class VmBackend:
    """Keeps one harness open for the whole run."""

    def __init__(self, root: Path, profile: Profile = "tuned") -> None:
        self.name = "vm" if profile == "tuned" else "vm-untuned"
        self._root, self._profile = root, profile
        self._accelerator: Accelerator | None = None
        self._harness: Harness | None = None
        self._image: VmImage | None = None
        self._started = Started()

    def probe(self) -> BackendInfo | NotAvailable:
        """Run guest code under KVM to choose the accelerator, and ask libvirt for its version."""
        if reason := _missing():
            return NotAvailable(reason)
        kvm = usable_kvm()
        accelerator: Accelerator = "kvm" if kvm.usable else "tcg"
        self._accelerator = accelerator
        harness = Harness(self._run_root(), self._root / "vm", accelerator)
        try:
            version = harness.version()
        except VmError as error:
            return NotAvailable(f"libvirt cannot be used here: {error}")
        finally:
            harness.close()
        suffix = "" if self._profile == "tuned" else "-untuned"
        limits = () if kvm.usable else (f"emulated CPU (TCG), because KVM cannot be used: {kvm.reason}",)
        return BackendInfo(
            name=f"vm-{accelerator}{suffix}",
            kind="vm",
            version=version,
            accelerator=accelerator,
            limits=limits,
            details={"profile": self._profile, "memory": f"{MEMORY_MIB} MiB"},
        )

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """A guest has its own kernel and so cannot use the host's network."""
        if spec.network == "host":
            return "a virtual machine has its own network stack and cannot use the host's"
        return None

    def prepare(self, image: BenchImage) -> None:
        """Make kernel, initramfs and base disk, cached by the image's digest, and open libvirt."""
        with FailuresOf("prepare the image for VMs", VmError, OSError):
            if self._harness is None:
                self._harness = Harness(self._run_root(), self._root / "vm", self._accelerator)
            self._image = self._harness.prepare(image.rootfs, image.digest.removeprefix("sha256:"))

    def start(self, spec: InstanceSpec) -> VmInstance:
        """Boot one VM."""
        if self._harness is None or self._image is None:
            raise BackendError("start a VM: prepare(image) was not called")
        if reason := self.unsupported(spec):
            raise BackendError(f"start a VM: {reason}")
        mode = networks.bridged(spec.network)
        network = networks.Address(mode) if mode else None
        env = dict(line.split("=", 1) for line in environment(instance_mark()))
        config = VmConfig(
            image=self._image,
            profile=self._profile,
            memory_mib=(spec.memory_max or MEMORY_MIB << 20) >> 20,
            vcpus=len(spec.cpus) or len(os.sched_getaffinity(0)),
            cpus=spec.cpus,
            network=_tap(network) if network else None,
            data_disk_mib=VOLUME_MIB if spec.volume else 0,
            data_dir=spec.volume,
            argv=spec.argv,
            env=env,
            until_output=spec.until_output,
        )
        what = spec.argv[0] if spec.argv else "an idle guest"
        try:
            with FailuresOf(f"start {what} in a VM", VmError, OSError):
                guest = self._harness.start(config)
        except BaseException:
            if network is not None:
                network.close()
            raise
        return self._started.add(VmInstance(guest, env, network))

    def cleanup(self) -> None:
        """Stop our VMs and libvirt, and sweep what dead harnesses left."""
        harness = self._harness or Harness(self._run_root(), self._root / "vm")
        self._harness = self._image = None
        with FailuresOf("clean up after VMs", VmError, OSError), contextlib.ExitStack() as stack:
            stack.callback(networks.sweep)
            stack.callback(harness.sweep)
            stack.callback(harness.close)
            stack.callback(self._started.stop)

    def _run_root(self) -> Path:
        """Return the directory for sockets and overlays, a short one: socket paths are limited to 107
        bytes."""
        root = self._root / "vm" / "run"
        return root if len(str(root)) <= _LONGEST_ROOT else Path("/var/tmp/ninetynine-vm")


def _tap(place: networks.Address) -> VmNetwork:
    prefix = place.network.subnet.partition("/")[2]
    return VmNetwork(
        address=f"{place.address}/{prefix}", gateway=place.network.gateway, bridge=place.network.link
    )


class VmInstance:
    """One guest; programs in it are started by the agent."""

    def __init__(self, guest: Vm, env: dict[str, str], network: networks.Address | None) -> None:
        self.stopped = False
        self._guest = guest
        self._network = network
        self._env = env
        record = guest.record
        self.record = StartRecord(
            requested_ns=record.requested_ns,
            ready_ns=record.ready_ns,
            first_output_ns=record.first_output_ns,
            phases=record.phases,
        )

    @property
    def address(self) -> str | None:
        """The guest's address on its tap."""
        return self._guest.address

    def exec(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 120.0) -> Completed:
        """Run a program in the guest to its end, through the agent."""
        self._drain()
        with FailuresOf(f"exec {argv[0]} in a VM", VmError):
            done = self._guest.exec(argv, stdin, timeout_s, self._env)
        return Completed(
            argv=done.argv,
            exit_code=done.exit_code,
            stdout=done.stdout,
            stderr=done.stderr,
            start_ns=done.start_ns,
            end_ns=done.end_ns,
        )

    def open(self, argv: Sequence[str]) -> Channel:
        """Start a long-lived program in the guest."""
        with FailuresOf(f"open {argv[0]} in a VM", VmError):
            return _GuestChannel(self._guest.open(argv, self._env))

    def memory(self) -> Footprint:
        """Proportional set size of the QEMU process."""
        self._drain()
        with FailuresOf("", VmError):
            return Footprint(bytes=self._guest.pss_bytes(), method="pss of QEMU")

    def disk(self) -> Footprint:
        """Blocks on disk of the overlay, and of the volume's disk file."""
        return Footprint(bytes=self._guest.overlay_bytes(), method="overlay file by inode")

    def stop(self) -> None:
        """End the guest. Idempotent."""
        self.stopped = True
        try:
            with FailuresOf("stop a VM", VmError, OSError):
                self._guest.stop()
        finally:
            if self._network is not None:
                self._network.close()

    def _drain(self) -> None:
        """Read what the main program has printed, or it would block once the agent's window is full."""
        main = self._guest.main
        if main is not None:
            with contextlib.suppress(VmError):
                while main.read(0.0):
                    pass


class _GuestChannel:
    """The agent's stream, with errors of this suite."""

    def __init__(self, stream: VmChannel) -> None:
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        with FailuresOf("", VmError):
            self._stream.write(data)

    def read_until(self, marker: bytes, timeout_s: float) -> bytes:
        """Return the output up to and including `marker`."""
        with FailuresOf("", VmError):
            return self._stream.read_until(marker, timeout_s)

    def close(self) -> None:
        """End the program. Idempotent."""
        self._stream.close()


def _missing() -> str:
    """Return what is missing on this machine, "" if nothing is."""
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed; run `nox -s setup`, or pip install libvirt-python"
    if shutil.which(f"qemu-system-{os.uname().machine}") is None:
        return "QEMU is not installed; run `nox -s setup`, or apt-get install qemu-system-x86 qemu-utils"
    if os.geteuid() != 0:
        return "virtual machines need root here (taps, pinned CPUs); run as root"
    return ""
