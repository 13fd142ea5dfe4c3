"""A root file system for tests: busybox, and a program whose first instructions write one byte."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

FIRST = "/first"

_CODE = {  # write(1, "1", 1); exit(0)
    "x86_64": (62, "b801000000bf01000000488d3510000000ba010000000f05b83c00000031ff0f0531"),
    "aarch64": (
        183,
        "200080d2e1000010220080d2080880d2010000d4000080d2a80b80d2010000d431",
    ),
}


def first_elf() -> bytes:
    """A static ELF of 154 bytes: the shortest way from execve to a byte the host can see."""
    machine, text = _CODE[os.uname().machine]
    code = bytes.fromhex(text)
    base, size = 0x400000, 120 + len(code)
    ident = b"\x7fELF\2\1\1" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096)
    return ident + header + segment + code


def build_rootfs(path: Path) -> Path:
    """Fill `path`; it needs busybox-static on the host."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox is not installed: apt-get install busybox-static")
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        (path / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, path / "bin/busybox")
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        if name != "busybox":
            (path / "bin" / name).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nalice:x:1000:\nvideo:x:44:alice\n")
    first = path / FIRST.lstrip("/")
    first.write_bytes(first_elf())
    first.chmod(0o755)
    return path


def in_plain_chroot() -> bool:
    """Whether the root is no mount of its own: mount --make-private fails, unshare -m and podman too."""
    return not any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())
