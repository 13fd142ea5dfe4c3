"""From an image's flattened root to all that a guest boots from, each part cached by what it is made of."""

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
    """Kernel, initramfs, ext4 base and empty overlay below `cache`, for the root directory that has `digest`.

    The kernel is the host's distribution's, or with `own_kernel` the one that is installed in the root.

    Whiteouts must be resolved already: pass the flattened root, not layers. The first call takes about ten
    seconds (kernel download, mke2fs), later ones milliseconds.
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
