"""The host's identity: what two runs must share to be comparable, and what may explain a result.

Read from /proc, /sys and the tools' `--version`; nothing is changed. Missing facts are "" or "unknown".
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from bench.host.check import chosen, meminfo, text
from bench.model import Fingerprint

TOOLS: Mapping[str, tuple[str, ...]] = {
    "qemu": ("qemu-system-x86_64", "--version"),
    "libvirt": ("libvirtd", "--version"),
    "mmdebstrap": ("mmdebstrap", "--version"),
    "nft": ("nft", "--version"),
    "ip": ("ip", "-Version"),
    "docker": ("docker", "--version"),
    "podman": ("podman", "--version"),
    "runc": ("runc", "--version"),
    "crun": ("crun", "--version"),
}

PACKAGES = (
    "ninetynine",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "msgspec",
    "pyroute2",
    "libvirt-python",
    "plotly",
)

IMAGE_TOOLS = (
    "sysbench",
    "stress-ng",
    "fio",
    "iperf3",
    "openssl",
    "redis-server",
    "nginx",
    "nginx-light",
    "wrk",
    "python3-minimal",
    "busybox",
    "busybox-static",
    "libc6",
)


def fingerprint(storage: Path, root: Path = Path("/")) -> Fingerprint:
    """Return the host as it is now. `storage` is the directory of images and layers; `root` is for tests."""
    uname = platform.uname()
    return Fingerprint(
        machine_id=machine_id(root),
        hostname=socket.gethostname(),
        cpu_model=_cpu_model(root),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=meminfo(root, "MemTotal") or 0,
        kernel=f"{uname.release} {uname.machine}",
        distribution=_distribution(root),
        python=platform.python_version(),
        cgroup_layout=cgroup_layout(root),
        mitigations=mitigations(root),
        clocksource=text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        governor=text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        smt=text(root / "sys/devices/system/cpu/smt/control"),
        virtualization=virtualization(root),
        filesystem=filesystem(storage, root),
        thp=chosen(text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        tools=host_tools(),
    )


def versions(rootfs: Path) -> dict[str, str]:
    """Return versions of what a result depends on: our packages, and tools in the image (`image/fio`)."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {f"image/{name}": version for name, version in image_tools(rootfs).items()}


def image_tools(rootfs: Path) -> dict[str, str]:
    """Return versions of the workload tools, from the image's package database."""
    try:
        status = (rootfs / "var/lib/dpkg/status").read_text(errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for stanza in status.split("\n\n"):
        name = re.search(r"^Package: (.+)$", stanza, re.MULTILINE)
        version = re.search(r"^Version: (.+)$", stanza, re.MULTILINE)
        if name and version and name[1] in IMAGE_TOOLS:
            found[name[1]] = version[1]
    return found


def host_tools() -> dict[str, str]:
    """Return the first line of each tool's version output; a missing tool is left out."""
    found: dict[str, str] = {}
    for name, argv in TOOLS.items():
        path = shutil.which(argv[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if path is None:
            continue
        try:
            done = subprocess.run([path, *argv[1:]], capture_output=True, text=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        lines = (done.stdout or done.stderr).strip().splitlines()
        if lines:
            found[name] = lines[0].strip()
    return found


def cgroup_layout(root: Path = Path("/")) -> str:
    """Return `v2`, `v1`, `hybrid` (v1 controllers and a v2 tree) or `none`, from the mount table."""
    kinds = {kind for _, _, kind in mounts(root)}
    if "cgroup2" in kinds:
        return "hybrid" if "cgroup" in kinds else "v2"
    return "v1" if "cgroup" in kinds else "none"


def filesystem(path: Path, root: Path = Path("/")) -> str:
    """Return `ext4 (/dev/sda1)` of the mount that contains `path` or its nearest existing parent."""
    real = path.resolve()
    best = ("", "unknown", "")
    for source, target, kind in mounts(root):
        inside = target == "/" or str(real) == target or str(real).startswith(target + "/")
        if inside and len(target) >= len(best[2]):
            best = (source, kind, target)
    return f"{best[1]} ({best[0]})" if best[0] else best[1]


def mounts(root: Path = Path("/")) -> list[tuple[str, str, str]]:
    """Return (source, target, type) of each mount of this process, in mount order."""
    try:
        lines = (root / "proc/self/mounts").read_text().splitlines()
    except OSError:
        return []
    fields = (line.split(" ") for line in lines)
    return [(one[0], one[1].encode().decode("unicode_escape"), one[2]) for one in fields if len(one) >= 3]


def machine_id(root: Path = Path("/")) -> str:
    """Return a hash of systemd's machine id (which should stay private), else of facts on the hardware."""
    known = text(root / "etc/machine-id") or text(root / "var/lib/dbus/machine-id")
    if not known:
        known = "/".join((socket.gethostname(), _cpu_model(root), str(meminfo(root, "MemTotal") or 0)))
    return hashlib.sha256(b"ninetynine:" + known.encode()).hexdigest()[:16]


def _cpu_model(root: Path) -> str:
    found = re.search(
        r"^(?:model name|Model|CPU part)\s*:\s*(.+)$", text(root / "proc/cpuinfo"), re.MULTILINE
    )
    return found[1] if found else platform.machine()


def _distribution(root: Path) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', text(root / "etc/os-release"), re.MULTILINE)
    return found[1] if found else "unknown"


def mitigations(root: Path) -> dict[str, str]:
    """Return the kernel's word on each vulnerability of the CPU, by its name."""
    folder = root / "sys/devices/system/cpu/vulnerabilities"
    return {path.name: text(path) for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def virtualization(root: Path) -> str:
    """Return whether this host is a virtual machine, as far as CPU and firmware show it."""
    hypervisor = " hypervisor" in text(root / "proc/cpuinfo")
    vendor = text(root / "sys/class/dmi/id/sys_vendor")
    product = text(root / "sys/class/dmi/id/product_name")
    firmware = " ".join(part for part in (vendor, product) if part)
    if hypervisor:
        return f"virtual machine ({firmware or 'hypervisor flag set'})"
    return f"none ({firmware})" if firmware else "none seen"
