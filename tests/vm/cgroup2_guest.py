"""A guest with cgroup v2 and nothing else, for testing a container runtime on a host that has v1.

    image = harness.prepare(rootfs, digest, CONTAINER_MODULES)
    stage(content, [repository / "runtime", repository / "checks.py"])
    with v2_guest(harness, image, content) as vm:
        done = vm.exec(["python3", "-m", "pytest", "checks.py"], cwd=CONTENT)

The guest has no systemd: PID 1 is the agent. The root's cgroup.controllers lists all controllers, none is
enabled below. Overlay's module is loaded. `content` is at /volume, on a disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vm.config import VmConfig, VmImage
from vm.errors import VmError
from vm.harness import Harness
from vm.initramfs import BASE_MODULES
from vm.machine import Vm

CONTAINER_MODULES = (*BASE_MODULES, "overlay")
"""For a guest that runs containers without a network."""

CGROUP_ROOT = "/sys/fs/cgroup"
CONTENT = "/volume"


@contextmanager
def v2_guest(
    harness: Harness, image: VmImage, content: Path, memory_mib: int = 1024, vcpus: int = 1
) -> Iterator[Vm]:
    """A running guest with cgroup2 mounted and a copy of `content` (256 MiB more free) at /volume."""
    size_mib = 256 + sum(p.lstat().st_size for p in content.rglob("*")) * 3 // 2 // (1 << 20)
    config = VmConfig(
        image=image, memory_mib=memory_mib, vcpus=vcpus, data_disk_mib=size_mib, data_content=content
    )
    with harness.start(config) as vm:
        done = vm.exec(["mount", "-t", "cgroup2", "cgroup2", CGROUP_ROOT])
        if done.exit_code:
            said = done.stderr.decode(errors="replace").strip()
            raise VmError(
                f"mount cgroup2 on {CGROUP_ROOT} in {vm.name}: {said}; does the image have mount(8)?"
            )
        yield vm


def stage(content: Path, trees: Sequence[Path]) -> Path:
    """Copy files and directories, each under its own name, without caches, into `content`; return it."""
    content.mkdir(parents=True, exist_ok=True)
    unwanted = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis", "*.dist-info")
    for tree in trees:
        if tree.is_dir():
            shutil.copytree(tree, content / tree.name, ignore=unwanted, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(tree, content / tree.name)
    return content
