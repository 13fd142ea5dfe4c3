"""libvirt's domain XML of a VM, as a pure function of the configuration and the host's abilities.

`untuned` is what a default tool writes: the distribution's firmware and compressed kernel, default caching
and CPU model, nothing pinned. `tuned` uses what the host has: the uncompressed kernel, qboot, host CPU,
pinned vCPUs, huge pages, an I/O thread with io_uring (or native aio) on O_DIRECT, vhost-net. Both boot the
same root.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import msgspec

from vm.config import Accelerator, VmConfig
from vm.host_abilities import HostAbilities
from vm.owner import MARK, Owner

AGENT_PORT = "ninetynine.agent"

SLOW_INITCALLS = (
    "jent_mod_init",
    "load_system_certificate_list",
    "pcie_portdrv_init",
    "init_ima",
    "init_evm",
)
"""Initcalls that our guests never need and that take a tenth of an emulated boot: a second source of entropy,
certificates of module signers, PCIe error reporting, and integrity measurement."""


class VmFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one VM: two sockets and its disks. `data` is None without a data disk."""

    agent: Path
    console: Path
    overlay: Path
    data: Path | None = None

    @staticmethod
    def of(home: Path, name: str, config: VmConfig) -> VmFiles:
        """Return the files of VM `name` below the harness's directory."""
        data_dir = config.data_dir or home
        return VmFiles(
            agent=home / f"{name}.a",
            console=home / f"{name}.c",
            overlay=home / f"{name}.qcow2",
            data=data_dir / f"{name}.data" if config.data_disk_mib else None,
        )

    def disks(self) -> tuple[Path, ...]:
        """Overlay and data disk."""
        return (self.overlay, self.data) if self.data else (self.overlay,)


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the XML depends on."""

    name: str
    config: VmConfig
    accel: Accelerator
    files: VmFiles
    host: HostAbilities
    owner: Owner


def domain_xml(r: DomainSpec) -> str:
    """Return the domain's definition."""
    tuned = r.config.profile == "tuned"
    sections = [
        f"<name>{r.name}</name>",
        f"<description>{MARK}{r.owner}</description>",
        f"<memory unit='MiB'>{r.config.memory_mib}</memory>",
        _memory_backing(r) if tuned else "",
        f"<vcpu placement='static'>{r.config.vcpus}</vcpu>",
        "<iothreads>1</iothreads>" if tuned else "",
        _cpu_tuning(r.config) if tuned else "",
        _boot(r),
        _features(r),
        _cpu(r),
        _clock(r.config),
        "<on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>",
        f"<on_reboot>{'restart' if r.config.init else 'destroy'}</on_reboot>",
        _devices(r),
    ]
    kind = "kvm" if r.accel == "kvm" else "qemu"
    return f"<domain type='{kind}'>\n" + "\n".join(s for s in sections if s) + "\n</domain>\n"


def kernel_command_line(r: DomainSpec) -> str:
    """Return the kernel arguments: console, panic, the agent's settings, and what TCG needs to boot fast."""
    words = ["console=ttyS0", "panic=-1", "quiet"]
    if r.config.profile == "tuned":
        words += ["cryptomgr.notests", "no_timer_check"]
    if r.accel == "tcg" and r.config.profile == "tuned":
        words += [
            "tsc=reliable",
            "lpj=8000000",
            "noreplace-smp",
            f"initcall_blacklist={','.join(SLOW_INITCALLS)}",
        ]
    if r.accel == "tcg" and r.config.machine == "microvm" and r.host.tsc_khz:
        # With hardware-reduced ACPI there is no timer to calibrate the TSC: without this the kernel hangs.
        words.append(f"tsc_early_khz={r.host.tsc_khz}")
    words += ["nn.root=/dev/vda", f"nn.host={r.config.hostname}"]
    words += ["nn.data=/dev/vdb"] if r.files.data else []
    if r.config.init:
        words += [f"nn.init={r.config.init}", *_systemd_network(r.config)]
    elif r.config.network:
        words.append(f"nn.ip={r.config.network.address}")
        words += [f"nn.gw={r.config.network.gateway}"] if r.config.network.gateway else []
    return " ".join([*words, r.config.kernel_arguments]).strip()


def _systemd_network(config: VmConfig) -> list[str]:
    """Return the network for systemd-network-generator(8); the link keeps the name eth0."""
    if config.network is None:
        return []
    own, gateway = ipaddress.ip_interface(config.network.address), config.network.gateway or ""
    return ["net.ifnames=0", f"ip={own.ip}::{gateway}:{own.netmask}::eth0:none"]


def pinned(config: VmConfig) -> tuple[tuple[int, int], ...]:
    """Return (vCPU, host CPU) pairs; host CPUs are reused in turn if there are fewer."""
    if not config.cpus:
        return ()
    return tuple((vcpu, config.cpus[vcpu % len(config.cpus)]) for vcpu in range(config.vcpus))


def mac_address(name: str) -> str:
    """Return a locally administered address derived from the VM's name."""
    digits = f"{int(name.removeprefix('nv'), 16) & 0xFFFFFF:06x}"
    return "52:54:00:" + ":".join(digits[i : i + 2] for i in (0, 2, 4))


def _memory_backing(r: DomainSpec) -> str:
    if r.host.free_hugepages_mib < r.config.memory_mib:
        return ""
    return "<memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking>"


def _cpu_tuning(config: VmConfig) -> str:
    if not config.cpus:
        return ""
    cpuset = ",".join(map(str, config.cpus))
    pins = "".join(f"<vcpupin vcpu='{v}' cpuset='{c}'/>" for v, c in pinned(config))
    rest = f"<emulatorpin cpuset='{cpuset}'/><iothreadpin iothread='1' cpuset='{cpuset}'/>"
    return f"<cputune>{pins}{rest}</cputune>"


def _boot(r: DomainSpec) -> str:
    image, tuned = r.config.image, r.config.profile == "tuned"
    # SeaBIOS on microvm panics at random (a timer tick into an unprogrammed PIC): always use qboot there.
    qboot = r.host.qboot if tuned or r.config.machine == "microvm" else None
    loader = f"<loader type='rom' readonly='yes'>{escape(qboot)}</loader>" if qboot else ""
    kernel = image.vmlinux if tuned or r.config.machine == "microvm" else image.vmlinuz
    return (
        f"<os><type arch='x86_64' machine='{r.config.machine}'>hvm</type>{loader}"
        f"<kernel>{escape(str(kernel))}</kernel><initrd>{escape(str(image.initramfs))}</initrd>"
        f"<cmdline>{escape(kernel_command_line(r))}</cmdline></os>"
    )


def _features(r: DomainSpec) -> str:
    poll = "<kvm><poll-control state='on'/></kvm>" if r.accel == "kvm" and r.config.profile == "tuned" else ""
    return f"<features><acpi/><apic/>{poll}</features>"


def _cpu(r: DomainSpec) -> str:
    tuned = r.config.profile == "tuned"
    if r.accel == "kvm" and tuned:
        topology = f"<topology sockets='1' cores='{r.config.vcpus}' threads='1'/>"
        mode = "mode='host-passthrough' check='none' migratable='off'"
        return f"<cpu {mode}>{topology}<cache mode='passthrough'/></cpu>"
    if r.accel == "kvm":
        return "<cpu mode='host-model'/>"
    return "<cpu mode='maximum'/>"


def _clock(config: VmConfig) -> str:
    # With an HPET the emulator wakes up 250 times a second for an idle guest: ten times the idle load.
    if config.profile == "untuned" or config.machine == "microvm":
        return ""
    return "<clock offset='utc'><timer name='hpet' present='no'/></clock>"


def _devices(r: DomainSpec) -> str:
    address = "<address type='virtio-mmio'/>" if r.config.machine == "microvm" else ""
    bare = r.config.profile == "tuned" or r.config.machine == "microvm"
    parts = [
        f"<emulator>{escape(r.host.emulator)}</emulator>",
        _disk(r, r.files.overlay, "qcow2", "vda", address),
        _disk(r, r.files.data, "raw", "vdb", address) if r.files.data else "",
        _interface(r, address),
        f"<controller type='virtio-serial' index='0'>{address}</controller>",
        f"<channel type='unix'><source mode='bind' path={_attribute(r.files.agent)}/>"
        f"<target type='virtio' name='{AGENT_PORT}'/></channel>",
        f"<serial type='unix'><source mode='bind' path={_attribute(r.files.console)}/></serial>",
        "<controller type='usb' model='none'/><memballoon model='none'/>" if bare else "",
    ]
    return "<devices>\n" + "\n".join(p for p in parts if p) + "\n</devices>"


def _disk(r: DomainSpec, path: Path, kind: str, target: str, address: str) -> str:
    tuning = _disk_tuning(r) if r.config.profile == "tuned" else ""
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='{kind}'{tuning}/>"
        f"<source file={_attribute(path)}/><target dev='{target}' bus='virtio'/>{address}</disk>"
    )


def _disk_tuning(r: DomainSpec) -> str:
    words = " discard='unmap' iothread='1'"
    if r.host.direct_io:
        words += " cache='none' io='io_uring'" if r.host.io_uring else " cache='none' io='native'"
    elif r.host.io_uring:
        words += " io='io_uring'"
    return words + (f" queues='{r.config.vcpus}'" if r.config.vcpus > 1 else "")


def _interface(r: DomainSpec, address: str) -> str:
    if not r.config.network:
        return ""
    vhost = "<driver name='vhost'/>" if r.config.profile == "tuned" and r.host.vhost_net else ""
    return (
        f"<interface type='ethernet'><target dev='{r.name}' managed='no'/>"
        f"<mac address='{mac_address(r.name)}'/><model type='virtio'/>{vhost}{address}</interface>"
    )


def _attribute(path: Path) -> str:
    return quoteattr(os.fspath(path))
