"""Disks: an ext4 base from a root directory, a copy-on-write overlay per VM, and data disks."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from vm.command import cached, run
from vm.errors import VmError

MIB = 1 << 20
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,"
    "sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
)
"""mke2fs's default features without orphan_file, for which a mount reads hundreds of blocks one by one."""

EXT4 = ("-q", "-t", "ext4", "-m", "0", "-O", FEATURES, "-E", "lazy_itable_init=0,lazy_journal_init=0")
"""Lazy initialisation off, or the guest's kernel would zero tables while we measure."""


def build_base(rootfs: Path, digest: str, cache: Path) -> Path:
    """Return a sparse ext4 image with the content of `rootfs`, built once per `digest`.

    It is made by `mke2fs -d`, without a mount or loop device; owners, device nodes and extended attributes
    are kept. Its size is 1.5 times the content plus 4 GiB, so that the guest can write.
    """
    if not rootfs.is_dir():
        raise VmError(f"make a disk from {rootfs}: no such directory; pass the image's flattened root")

    def build(path: Path) -> None:
        _mke2fs(path, _tree_bytes(rootfs) * 3 // 2 // MIB + 4096, rootfs)

    return cached(cache / f"base-{_key(digest)}.ext4", build)


def overlay_template(base: Path) -> Path:
    """Return an empty qcow2 over `base`, made once; a VM's overlay is a copy of it (1 ms instead of 30)."""

    def build(path: Path) -> None:
        options = ["-q", "-f", "qcow2", "-F", "raw", "-b", str(base.resolve())]
        run(["qemu-img", "create", *options, path], f"make an overlay of {base}")

    return cached(base.with_suffix(".qcow2"), build)


def data_template(size_mib: int, cache: Path) -> Path:
    """Return a blank ext4 file system of `size_mib`, made once and copied for each VM."""
    return cached(cache / f"data-{_key(str(size_mib))}.ext4", lambda path: _mke2fs(path, size_mib, None))


def build_data(path: Path, size_mib: int, content: Path) -> None:
    """Make an ext4 file system of `size_mib` at `path` with a copy of the directory `content`."""
    _mke2fs(path, size_mib, content)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file and keep its holes. VmError names both, for instance on a full disk."""
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            _copy_extents(reader.fileno(), writer.fileno())
            writer.truncate(os.fstat(reader.fileno()).st_size)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            target.unlink(missing_ok=True)
        raise VmError(
            f"copy {source} to {target}: {error.strerror}; check the free space and the permissions"
        ) from error


def disk_bytes(path: Path) -> int:
    """Return the bytes that a file takes on the host's disk."""
    return path.stat().st_blocks * 512


def takes_direct_io(directory: Path) -> bool:
    """Return whether files below `directory` can be opened with O_DIRECT (some file systems refuse)."""
    probe = directory / f".direct-{os.getpid()}"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def _copy_extents(reader: int, writer: int) -> None:
    end, at = os.fstat(reader).st_size, 0
    while at < end:
        try:
            at = os.lseek(reader, at, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole is left
            return
        stop = os.lseek(reader, at, os.SEEK_HOLE)
        os.lseek(writer, at, os.SEEK_SET)
        os.lseek(reader, at, os.SEEK_SET)
        while at < stop:
            sent = os.sendfile(writer, reader, None, stop - at)
            if not sent:
                return
            at += sent


def _mke2fs(path: Path, size_mib: int, content: Path | None) -> None:
    source = ["-d", str(content)] if content else []
    run(["mke2fs", *EXT4, *source, path, f"{size_mib}M"], f"make the file system {path.name}")


def _tree_bytes(root: Path) -> int:
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(root) for name in names)


def _key(digest: str) -> str:
    """Return a file name for the content and the options of mke2fs."""
    recipe = hashlib.sha256(repr(EXT4).encode()).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9]', '-', digest)[-40:]}-{recipe}"
