"""Checks of container and VM tools, and of KVM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.host.check import Check, Topic

WANTED: Mapping[str, str] = {
    "docker": "docker: not measured without it",
    "podman": "all metrics: none; listed because its containers may run at the same time",
    "crun": "crun: not measured without it",
    "runc": "docker: the runtime that starts its containers",
    "qemu": "vm: not measured without it",
    "libvirt": "vm: needs the embedded driver (libvirt-daemon-driver-qemu), not the daemon",
    "mmdebstrap": "all metrics: the bench image cannot be built without it",
    "nft": "network: no NAT without it",
    "ip": "network: not needed, useful to inspect links",
}
"""Tool → what it is needed for."""


def checks(found: Mapping[str, str]) -> Iterator[Check]:
    """Yield a check per tool. found: version texts by name (`bench.host.fingerprint.host_tools`)."""
    for name, effect in WANTED.items():
        about, fix = Topic(f"tool {name}", effect), f"install it to measure {name}" if name in effect else ""
        yield about("ok", found[name]) if name in found else about("unknown", "not installed", fix)


def kvm(root: Path, accelerator: str | None, why: str = "") -> Check:
    """Check whether guest code really runs under KVM.

    accelerator: what the VM backend found by running some (`kvm`, `tcg`); None if it could not try, because
    of `why`.
    """
    about = Topic(
        "kvm", "vm: without KVM guests are emulated (TCG), ten times slower, and no claim on VMs is judged"
    )
    device = "/dev/kvm is there" if (root / "dev/kvm").exists() else "no /dev/kvm"
    if accelerator == "kvm":
        return about("ok", f"guest code runs ({device})")
    if accelerator is None:
        words = f"{device}; not tried: {why}" if why else f"{device}; not tried"
        return about("unknown", words)
    if (root / "dev/kvm").exists():
        fix = "use a host whose own hypervisor allows nesting"
        return about("warn", f"{device}, but guest code does not run", fix)
    return about("warn", device, "modprobe kvm_intel or kvm_amd; switch on VT-x or AMD-V in the firmware")
