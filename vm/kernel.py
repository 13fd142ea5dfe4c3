"""The guest's kernel: the distribution's cloud kernel, with an uncompressed copy that starts faster."""

from __future__ import annotations

import contextlib
import lzma
import shutil
import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zstandard

from vm.command import cached, run
from vm.errors import VmError, VmUnavailableError

META_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Debian's and Ubuntu's meta packages that name the current kernel for virtual machines."""

_LISTS = Path("/var/lib/apt/lists")
"""apt renames new lists into this directory, so its time is that of the last update."""

_SIGNATURE = b"~Module signature appended~"


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel on disk. vmlinux: an ELF that QEMU enters by its PVH note, without decompression."""

    version: str
    vmlinuz: Path
    vmlinux: Path
    modules: Path


def fetch_kernel(cache: Path) -> Kernel:
    """Download (once) and unpack the distribution's cloud kernel. VmUnavailableError without apt."""
    try:
        package = _kept_answer(cache / "kernel-package")
    except VmUnavailableError:
        cached_before = sorted(cache.glob("kernel-*/vmlinux"))
        if not cached_before:
            raise
        package = cached_before[-1].parent.name.removeprefix("kernel-")
    home = cached(cache / f"kernel-{package}", lambda path: _unpack(package, path))
    return Kernel(
        version=package.removeprefix("linux-image-"),
        vmlinuz=home / "vmlinuz",
        vmlinux=home / "vmlinux",
        modules=home / "modules",
    )


def kernel_in(root: Path, cache: Path) -> Kernel:
    """Return the kernel that is installed in a root directory, the last by name if there are several."""
    found = sorted((root / "boot").glob("vmlinuz-*"))
    if not found:
        raise VmError(f"find a kernel in {root}: no boot/vmlinuz-*; install linux-image-cloud-amd64 there")
    vmlinuz, version = found[-1], found[-1].name.removeprefix("vmlinuz-")

    def build(path: Path) -> None:
        path.write_bytes(uncompressed(vmlinuz.read_bytes()))

    return Kernel(
        version=version,
        vmlinuz=vmlinuz,
        vmlinux=cached(cache / f"vmlinux-{version}", build),
        modules=root / "lib/modules" / version,
    )


def _kept_answer(kept: Path) -> str:
    """Return kernel_package() of apt's present lists; it takes apt a second to read them."""
    with contextlib.suppress(OSError):
        if kept.stat().st_mtime_ns > _LISTS.stat().st_mtime_ns:
            return kept.read_text()
    package = kernel_package()
    with contextlib.suppress(OSError):  # where the cache cannot be written, apt is asked each time
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".kernel-") as scratch:
            answer = Path(scratch) / kept.name
            answer.write_text(package)
            answer.replace(kept)
    return package


def kernel_package() -> str:
    """Return the name of the newest cloud kernel package that apt knows."""
    for meta in META_PACKAGES:
        try:
            listing = run(["apt-cache", "depends", meta], "find a guest kernel").decode()
        except VmUnavailableError:
            raise
        except VmError:
            continue
        for line in listing.splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind == "Depends" and name.startswith("linux-image-"):
                return name
    raise VmUnavailableError(
        f"find a guest kernel: apt knows none of {', '.join(META_PACKAGES)}; "
        "run apt-get update on Debian or Ubuntu"
    )


def _unpack(package: str, home: Path) -> None:
    home.mkdir()
    run(["apt-get", "download", package], f"download {package}", cwd=home)
    modules_package = package.replace("linux-image-", "linux-modules-")
    if modules_package.encode() in run(["apt-cache", "depends", package], f"look up {package}"):
        run(["apt-get", "download", modules_package], f"download {modules_package}", cwd=home)
    for archive in home.glob("*.deb"):
        run(["dpkg-deb", "-x", archive, home / "unpacked"], f"unpack {archive.name}")
        archive.unlink()
    unpacked = home / "unpacked"
    shutil.move(next((unpacked / "boot").glob("vmlinuz-*")), home / "vmlinuz")
    shutil.move(next(unpacked.glob("**/lib/modules/*")), home / "modules")
    shutil.rmtree(unpacked)
    (home / "vmlinux").write_bytes(uncompressed((home / "vmlinuz").read_bytes()))


def uncompressed(bzimage: bytes) -> bytes:
    """Return the ELF in a bzImage (setup_sects, payload_offset: Documentation/arch/x86/boot.rst)."""
    if len(bzimage) < 0x250 or bzimage[0x202:0x206] != b"HdrS":
        raise VmError("guest kernel: not a bzImage of boot protocol 2.08 or newer; remove it from the cache")
    setup = (bzimage[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    payload = bzimage[setup * 512 + offset :][: length - 4]  # the last 4 bytes are the unpacked size
    elf = _decompressed(payload)
    if elf[:4] != b"\x7fELF":
        raise VmError("guest kernel: the payload of the bzImage is not an ELF; remove it from the cache")
    return elf


def _decompressed(payload: bytes) -> bytes:
    try:
        if payload.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(payload)
        if payload.startswith(b"\xfd7zXZ\x00"):
            return lzma.decompress(payload)
        if payload.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(31).decompress(payload)
    except (zstandard.ZstdError, lzma.LZMAError, zlib.error) as error:
        raise VmError(f"guest kernel: damaged payload ({error}); remove it from the cache") from error
    raise VmError(f"guest kernel: unknown compression {payload[:6].hex()}; zstd, xz and gzip are known")


def with_dependencies(kernel: Kernel, names: Sequence[str]) -> dict[str, bytes]:
    """Return the modules by name, each after those that it depends on; built-in ones are left out.

    Dependencies are read from the modules (`depends=` in .modinfo), since a package that is only unpacked has
    no `modules.dep`.
    """
    found: dict[str, bytes] = {}
    visited: set[str] = set()

    def visit(name: str) -> None:
        if name in visited:
            return
        visited.add(name)
        data = module(kernel, name)
        if data is not None:
            for needed in dependencies(data):
                visit(needed)
            found[name] = data

    for name in names:
        visit(name)
    return found


def dependencies(data: bytes) -> list[str]:
    """Return the names in the `depends=` entry of a module."""
    entry = data.partition(b"\0depends=")[2].partition(b"\0")[0].decode()
    return [name.replace("-", "_") for name in entry.split(",") if name]


def module(kernel: Kernel, name: str) -> bytes | None:
    """Return an uncompressed kernel module, None if it is built in. VmError if there is none."""
    tree = kernel.modules
    for path in tree.glob("kernel/**/*.ko*"):
        if path.name.split(".")[0].replace("-", "_") != name:
            continue
        data = path.read_bytes()
        if path.suffix == ".xz":
            data = lzma.decompress(data)
        elif path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        # An unsigned module only taints the kernel; checking a signature takes an emulated CPU 10 ms.
        return data.split(_SIGNATURE)[0]
    builtin = (tree / "modules.builtin").read_text() if (tree / "modules.builtin").exists() else ""
    if any(Path(line).stem.replace("-", "_") == name for line in builtin.splitlines()):
        return None
    raise VmError(
        f"guest kernel {kernel.version}: it has no module {name}; remove {tree.parent} to fetch a newer one"
    )
