"""Builders of small values for tests of the VM harness."""

from pathlib import Path

from vm.config import VmConfig, VmImage
from vm.domain import DomainSpec, VmFiles
from vm.host_abilities import HostAbilities
from vm.owner import Owner


def image(home: Path = Path("/images")) -> VmImage:
    return VmImage(
        digest="sha256:1",
        kernel_version="6.12",
        vmlinux=home / "vmlinux",
        vmlinuz=home / "vmlinuz",
        initramfs=home / "initramfs",
        base=home / "base.ext4",
        overlay=home / "base.qcow2",
    )


def host(**changes) -> HostAbilities:
    plain = {
        "emulator": "/usr/bin/qemu-system-x86_64",
        "qboot": "/qboot.rom",
        "direct_io": True,
        "io_uring": True,
        "vhost_net": False,
        "free_hugepages_mib": 0,
        "tsc_khz": 2_600_000,
    }
    return HostAbilities(**plain | changes)


def request(accel="kvm", host_=None, **config) -> DomainSpec:
    settings = VmConfig(**{"image": image(), **config})
    files = VmFiles.of(Path("/run/x"), "nv00c0ffee", settings)
    return DomainSpec(
        name="nv00c0ffee", config=settings, accel=accel, files=files, host=host_ or host(), owner=Owner(7, 42)
    )
