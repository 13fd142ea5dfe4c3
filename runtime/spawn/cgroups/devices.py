"""Which device nodes a container may open: v1's devices list, and the same as a BPF program for v2.

Both are set once on the parent of all our cgroups, since children inherit: nothing is paid per container.
mknod is allowed for every device (a node is harmless while it cannot be opened), as Docker does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from runtime.spawn.cgroups.files import put
from runtime.spawn.cgroups.model import CgroupError

NULL, ZERO, FULL, RANDOM, URANDOM = (1, 3), (1, 5), (1, 7), (1, 8), (1, 9)
TTY, CONSOLE, PTMX, PTS = (5, 0), (5, 1), (5, 2), (136, None)
OPEN = (NULL, ZERO, FULL, RANDOM, URANDOM, TTY, CONSOLE, PTMX, PTS)

_BPF_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2
_CHAR, _MKNOD = 2, 1


def confine_v1(path: str) -> None:
    """Set the devices list of the v1 cgroup `path`."""
    put(f"{path}/devices.deny", "a")
    rules = [f"c {major}:{'*' if minor is None else minor} rwm" for major, minor in OPEN]
    for rule in [*rules, "c *:* m", "b *:* m"]:
        put(f"{path}/devices.allow", rule)


def confine_v2(path: str) -> None:
    """Attach the program to the v2 cgroup `path`; it lives and dies with that cgroup."""
    program = _load(_program(), path)
    try:
        target = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attributes = struct.pack("<IIII", target, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
            _bpf(_PROG_ATTACH, attributes, "attach the device program to", path)
        finally:
            os.close(target)
    finally:
        os.close(program)


def _program() -> bytes:
    """Allow mknod of anything, and any access to the nodes in OPEN.

    Context (struct bpf_cgroup_dev_ctx): u32 access << 16 | type, u32 major, u32 minor. r0 = 1 allows.
    """

    def op(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
        return struct.pack("<BBhi", code, src << 4 | dst, offset, value)

    load_word, and32, right_shift32, move32, jump_equal, jump_unequal = 0x61, 0x54, 0x74, 0xB4, 0x15, 0x55
    allow = op(move32, 0, value=1) + op(0x95)
    body = op(load_word, 2, 1, 0) + op(load_word, 3, 1, 4) + op(load_word, 4, 1, 8)
    body += op(0xBC, 5, 2) + op(and32, 2, value=0xFFFF) + op(right_shift32, 5, value=16)  # r2 type, r5 access
    body += op(jump_unequal, 5, offset=2, value=_MKNOD) + allow
    body += op(jump_equal, 2, offset=2, value=_CHAR) + op(move32, 0, value=0) + op(0x95)
    for major, minor in OPEN:
        inner = (op(jump_unequal, 4, offset=2, value=minor) if minor is not None else b"") + allow
        body += op(jump_unequal, 3, offset=len(inner) // 8, value=major) + inner
    return body + op(move32, 0, value=0) + op(0x95)


def _load(program: bytes, path: str) -> int:
    code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "<IIQQIIQIIII",
        _TYPE_CGROUP_DEVICE,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        *(0, 0, 0),  # no verifier log
        *(0, 0, 0, 0),
    )
    return _bpf(_PROG_LOAD, attributes, "load the device program for", path)


def _bpf(command: int, attributes: bytes, operation: str, path: str) -> int:
    number = _BPF_NUMBERS.get(platform.machine())
    if number is None:
        raise CgroupError(operation, path, errno.ENOSYS, f"no bpf number known for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes + bytes(64))
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, command, buffer, len(buffer) - 1)
    if result < 0:
        advice = "the kernel needs CONFIG_CGROUP_BPF and this user CAP_BPF; or set confine_devices=False"
        raise CgroupError(operation, path, ctypes.get_errno(), advice)
    return result
