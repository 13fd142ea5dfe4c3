"""The guest's initramfs: the static agent as /init, and the modules for disk and network."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from vm.command import cached, run
from vm.cpio import archive, character_device, directory, file
from vm.errors import VmUnavailableError
from vm.kernel import Kernel, with_dependencies

AGENT = Path(__file__).parent / "agent"

BASE_MODULES = ("virtio_mmio", "virtio_blk", "virtio_net")
"""A cloud kernel has ext4, virtio_pci and virtio_console built in."""


def build_initramfs(kernel: Kernel, cache: Path, modules: Sequence[str] = BASE_MODULES) -> Path:
    """Return the cpio for this kernel and modules, built once; uncompressed, which loads fastest."""
    sources = [path.read_bytes() for path in sorted(AGENT.glob("*.[ch]"))]
    key = hashlib.sha256(repr((kernel.version, tuple(modules), sources)).encode()).hexdigest()[:16]
    return cached(cache / f"initramfs-{key}.cpio", lambda path: _write(path, kernel, modules))


def _write(path: Path, kernel: Kernel, modules: Sequence[str]) -> None:
    agent = path.with_suffix(".agent")
    compile_agent(agent)
    entries = [file("init", agent.read_bytes(), 0o755)]
    entries += [directory(name) for name in ("dev", "proc", "sys", "root", "modules")]
    for index, (name, data) in enumerate(with_dependencies(kernel, modules).items()):
        entries.append(file(f"modules/{index:02}-{name}.ko", data))
    entries.append(character_device("dev/console", 5, 1))
    path.write_bytes(archive(entries))


def compile_agent(target: Path) -> None:
    """Build the agent as a static binary, with musl if installed. VmUnavailableError without a C compiler."""
    compiler = next((name for name in ("musl-gcc", "gcc", "cc") if shutil.which(name)), None)
    if compiler is None:
        raise VmUnavailableError(
            "build the guest agent: no C compiler; install the package musl-tools (or gcc)"
        )
    run(
        [compiler, "-static", "-Os", "-s", "-w", "-o", target, *sorted(AGENT.glob("*.c"))],
        "build the guest agent",
    )
