"""Make what a guest boots from out of an image's flattened root; each part is cached by its sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vm.config import VmImage
from vm.disk import build_base, overlay_template
from vm.initramfs import BASE_MODULES, build_initramfs
from vm.kernel import fetch_kernel, kernel_in


def build_image(
    rootfs: Path, digest: str, cache: Path, modules: Sequence[str] = BASE_MODULES, own_kernel: bool = False
) -> VmImage:
    """Make kernel, initramfs, ext4 base and empty overlay below `cache`, for a root directory and its digest.

    The kernel is that of the host's distribution, or with `own_kernel` the one installed in the root. The
    root must be flattened, without whiteouts. The first call takes about ten seconds (kernel download,
    mke2fs), later ones milliseconds.
    """
    kernel = kernel_in(rootfs, cache) if own_kernel else fetch_kernel(cache)
    base = build_base(rootfs, digest, cache)
    return VmImage(
        digest=digest,
        kernel_version=kernel.version,
        vmlinux=kernel.vmlinux,
        vmlinuz=kernel.vmlinuz,
        initramfs=build_initramfs(kernel, cache, modules),
        base=base,
        overlay=overlay_template(base),
    )
